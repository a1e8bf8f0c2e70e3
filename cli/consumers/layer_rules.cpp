#include "consumers/layer_rules.hpp"

#include "base/error.hpp"
#include "base/words.hpp"
#include "checkpoint/dtypes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string_view>

namespace octavo::cli {
namespace {

constexpr std::string_view kTensorwise = "int8_tensorwise";
constexpr std::string_view kBlockwise = "int8_blockwise";

using Formats = std::span<const std::string_view>;

constexpr std::string_view kComfyFormats[] = {"float8_e4m3fn", "float8_e5m2",  "nvfp4",          "mxfp8",
                                              kTensorwise,     "convrot_w4a4", "asym_w4a8_int8", "awq_w4a16"};
constexpr std::string_view kKitchenFormats[] = {"float8_e4m3fn",  "float8_e5m2", "nvfp4",
                                                "mxfp8",          kTensorwise,   "convrot_w4a4",
                                                "asym_w4a8_int8", "awq_w4a16",   "svdquant_w4a4"};
constexpr std::string_view kForgeFormats[] = {"float8_e4m3fn", "float8_e5m2",  "nvfp4",         "mxfp8",
                                              kTensorwise,     "convrot_w4a4", "asym_w4a8_int8"};
constexpr std::string_view kQuantOpsFormats[] = {"float8_e4m3fn",
                                                 "float8_e4m3fn_rowwise",
                                                 "float8_e4m3fn_blockwise",
                                                 "nvfp4",
                                                 "mxfp8",
                                                 "hybrid_mxfp8",
                                                 kTensorwise,
                                                 kBlockwise};

// Indexes into a program's versions, see kPrograms in consumers.cpp.
constexpr size_t kFirst = 1;
constexpr size_t kNewer = 2;

bool knows(Formats formats, std::string_view format) {
  return std::find(formats.begin(), formats.end(), format) != formats.end();
}

Opinion no(std::string reason) { return {Loads::no, 0, std::move(reason)}; }
Opinion no_format(const MarkerForm& marker) {
  return no(fmt::format("it does not know the format '{}'", printable(marker.format)));
}

bool is_int8_matrix(const LayerForm& layer) {
  return layer.weight_dtype == OCTAVO_I8 &&
         (layer.weight_shape.size() == 2 || layer.weight_shape.size() == 3);
}

uint64_t rows_of(const LayerForm& layer) { return layer.weight_shape.empty() ? 0 : layer.weight_shape[0]; }
uint64_t cols_of(const LayerForm& layer) {
  return layer.weight_shape.empty() ? 0 : layer.weight_shape.back();
}

uint64_t scale_elements(const ScaleForm& scale) { return checkpoint::element_count(scale.shape).value_or(0); }

enum class ScaleShape { scalar, one, one_by_one, rows, vector, other };

ScaleShape scale_shape(const LayerForm& layer) {
  const std::vector<uint64_t>& shape = layer.scale->shape;
  const uint64_t rows = rows_of(layer);
  if (layer.weight_shape.size() == 3) {  // experts: one scale for each row, for each expert, or for all
    const bool fits = shape.empty() || shape == std::vector<uint64_t>{rows} ||
                      shape == std::vector<uint64_t>{rows, layer.weight_shape[1], 1};
    return fits ? ScaleShape::rows : ScaleShape::other;
  }
  if (shape.empty()) return ScaleShape::scalar;
  if (shape == std::vector<uint64_t>{rows, 1}) return ScaleShape::rows;
  if (shape == std::vector<uint64_t>{1}) return ScaleShape::one;
  if (shape == std::vector<uint64_t>{1, 1}) return ScaleShape::one_by_one;
  if (shape == std::vector<uint64_t>{rows}) return ScaleShape::vector;
  return ScaleShape::other;
}

bool is_group(int64_t group, uint64_t cols) {
  int64_t rest = group;
  while (rest >= 4 && rest % 4 == 0) rest /= 4;
  return group >= 4 && rest == 1 && cols % static_cast<uint64_t>(group) == 0;
}

// What a marker must be before its format counts. A reason if it is not.
std::string marker_fault(const MarkerForm* marker) {
  if (marker == nullptr) return "an I8 weight without a marker is taken for the weight itself";
  if (!marker->readable) return "its marker is not JSON of exact length";
  if (marker->format.empty()) return "its marker has no 'format'";
  return {};
}

std::string part_fault(const LayerForm& layer) {
  if (layer.weight_shape.empty()) return "its weight is missing";
  if (!is_int8_matrix(layer)) return "its weight is not an I8 matrix";
  if (!layer.scale) return "its weight_scale is missing";
  return {};
}

// ComfyUI's and comfy-kitchen's int8_tensorwise. Forward takes 1 or `rows` scales in any shape; dequantizing
// (LoRA, full precision) broadcasts, and the CUDA kernels check the rank.
Opinion tensorwise_in_comfy(const LayerForm& layer, const MarkerForm& marker) {
  if (const std::string fault = part_fault(layer); !fault.empty()) return no(fault);
  const std::string shape = shape_text(layer.scale->shape);
  const int64_t group = marker.convrot_group == 0 ? 256 : marker.convrot_group;
  if (marker.convrot && !is_group(group, cols_of(layer)))
    return no(fmt::format("ConvRot groups of {} do not fit {} columns", group, cols_of(layer)));
  switch (scale_shape(layer)) {
    case ScaleShape::one_by_one:
      return no("its CUDA kernels refuse a scale [1, 1]");
    case ScaleShape::vector:
      return no(fmt::format("a scale {} is broadcast along the columns when a LoRA is applied", shape));
    case ScaleShape::other:
      return no(fmt::format("a scale {} does not fit {} rows", shape, rows_of(layer)));
    default:
      break;
  }
  if (marker.full_precision) return {Loads::dequantized, kFirst, "full_precision_matrix_mult asks for it"};
  if (layer.scale->dtype != OCTAVO_F32) {
    return {Loads::yes, kFirst,
            fmt::format("slowly: its CUDA kernels want F32 scales, not {}",
                        checkpoint::name(layer.scale->dtype))};
  }
  if (scale_shape(layer) == ScaleShape::one)
    return {Loads::yes, kFirst, "but a LoRA cannot be applied in place"};
  return {Loads::yes, kFirst, {}};
}

Opinion comfy_family(const LayerForm& layer, const MarkerForm* marker, Formats formats) {
  if (const std::string fault = marker_fault(marker); !fault.empty()) return no(fault);
  if (!knows(formats, marker->format)) return no_format(*marker);
  if (marker->format == kTensorwise) return tensorwise_in_comfy(layer, *marker);
  if (layer.weight_shape.empty()) return no("its weight is missing");
  return {Loads::yes, 0, {}};
}

bool is_embedding(const LayerForm& layer) {
  const std::string_view name = layer.name;
  const std::string_view last = name.substr(name.rfind('.') + 1);
  return last == "embed_tokens" || last == "token_embedding" || last == "word_embeddings" ||
         last == "shared" || last == "wte";
}

Opinion tensorwise_in_stable_diffusion_cpp(const LayerForm& layer, const MarkerForm& marker) {
  if (const std::string fault = part_fault(layer); !fault.empty()) return no(fault);
  if (layer.weight_shape.size() != 2 || is_embedding(layer)) return no("only linear layers may be INT8");
  if (marker.convrot && marker.convrot_group == 0) return no("its marker does not say convrot_groupsize");
  if (marker.convrot && !is_group(marker.convrot_group, cols_of(layer)))
    return no(
        fmt::format("ConvRot groups of {} do not fit {} columns", marker.convrot_group, cols_of(layer)));
  const uint64_t scales = scale_elements(*layer.scale);
  if (scales != 1 && scales != rows_of(layer))
    return no(fmt::format("a scale {} does not fit {} rows", shape_text(layer.scale->shape), rows_of(layer)));
  const size_t version = scales == rows_of(layer) ? kFirst : kNewer;
  if (marker.convrot && marker.convrot_group != 256)
    return {Loads::yes, version, fmt::format("ConvRot groups of {} run on the CPU", marker.convrot_group)};
  return {Loads::yes, version, {}};
}

}  // namespace

const MarkerForm* marker_for(const LayerForm& layer, bool reads_metadata) {
  if (reads_metadata && layer.metadata) return &*layer.metadata;
  if (layer.marker) return &*layer.marker;
  return layer.metadata ? &*layer.metadata : nullptr;
}

Opinion comfyui_layer(const LayerForm& layer, const MarkerForm* marker) {
  return comfy_family(layer, marker, kComfyFormats);
}

Opinion comfy_kitchen_layer(const LayerForm& layer, const MarkerForm* marker) {
  return comfy_family(layer, marker, kKitchenFormats);
}

Opinion forge_neo_layer(const LayerForm& layer, const MarkerForm* marker) {
  return comfy_family(layer, marker, kForgeFormats);
}

Opinion stable_diffusion_cpp_layer(const LayerForm& layer, const MarkerForm* marker) {
  if (!layer.marker && layer.metadata) return no("it reads markers only, and this layer has none");
  if (const std::string fault = marker_fault(marker); !fault.empty()) return no(fault);
  if (marker->format == kTensorwise) return tensorwise_in_stable_diffusion_cpp(layer, *marker);
  if (marker->format == "float8_e4m3fn") return {Loads::yes, kNewer, {}};
  return no_format(*marker);
}

// Detects an I8 weight with a scale; newer versions read the marker, which need not have a format.
Opinion int8_fast_layer(const LayerForm& layer, const MarkerForm* marker) {
  if (marker != nullptr && !marker->readable) return no("its marker is not JSON of exact length");
  if (marker != nullptr && !marker->format.empty() && marker->format != kTensorwise)
    return no_format(*marker);
  if (const std::string fault = part_fault(layer); !fault.empty()) return no(fault);
  if (layer.weight_shape.size() != 2) return no("only matrices may be INT8");
  if (scale_elements(*layer.scale) != 1 && scale_shape(layer) != ScaleShape::rows)
    return no(fmt::format("a scale {} is taken for one number", shape_text(layer.scale->shape)));
  const bool rotated = marker != nullptr && marker->convrot;
  if (rotated && !layer.marker) return no("it reads markers only, and this layer has none");
  return {Loads::yes, rotated ? kNewer : kFirst, {}};
}

Opinion quantops_layer(const LayerForm& layer, const MarkerForm* marker) {
  if (const std::string fault = marker_fault(marker); !fault.empty()) return no(fault);
  if (!knows(kQuantOpsFormats, marker->format)) return no_format(*marker);
  if (marker->format != kTensorwise && marker->format != kBlockwise) return {Loads::yes, 0, {}};
  if (const std::string fault = part_fault(layer); !fault.empty()) return no(fault);
  if (marker->convrot) return no("it does not know ConvRot");
  if (marker->format == kBlockwise) return {Loads::yes, 0, {}};
  const ScaleShape shape = scale_shape(layer);
  if (shape == ScaleShape::other || shape == ScaleShape::vector)
    return no(fmt::format("a scale {} does not fit {} rows", shape_text(layer.scale->shape), rows_of(layer)));
  return {Loads::yes, 0, {}};
}

// Multiplies the weight with its weight_scale and drops everything else.
Opinion invokeai_layer(const LayerForm& layer, const MarkerForm* marker) {
  if (layer.name.find("input_blocks.") != std::string::npos)
    return no("its SD and SDXL loaders know no INT8");
  if (marker != nullptr && !marker->readable) return no("its marker is not JSON of exact length");
  if (marker != nullptr && marker->convrot) return no("it drops the rotation: silent garbage");
  const std::string_view format = marker == nullptr ? kTensorwise : std::string_view(marker->format);
  if (format == "float8_e4m3fn" || format == "float8_e5m2") return {Loads::dequantized, kFirst, {}};
  if (format != kTensorwise && format != kBlockwise) return no_format(*marker);
  if (const std::string fault = part_fault(layer); !fault.empty()) return no(fault);
  const ScaleShape shape = scale_shape(layer);
  const bool fits = format == kBlockwise || (shape != ScaleShape::vector && shape != ScaleShape::other);
  if (!fits || layer.weight_shape.size() != 2)
    return no(fmt::format("a scale {} does not broadcast to the rows", shape_text(layer.scale->shape)));
  return {Loads::dequantized, kFirst, {}};
}

Opinion diffusers_layer(const LayerForm&, const MarkerForm*) {
  return no("it reads none of these formats (issues 14403, 14705)");
}

}  // namespace octavo::cli
