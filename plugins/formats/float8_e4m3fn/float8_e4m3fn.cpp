// float8_e4m3fn: scaled FP8, one scale for the layer.
#include "claims.hpp"
#include "int8/marker.hpp"

#include <octavo/format.hpp>

namespace {

using namespace octavo;

constexpr int kLargest = 448;

octavo_grid scaled_grid(std::int64_t rows, std::int64_t cols, octavo_granularity granularity) {
  octavo_grid grid{};
  grid.struct_size = sizeof grid;
  grid.code = OCTAVO_CODE_E4M3;
  grid.stored_dtype = OCTAVO_F8_E4M3;
  grid.qmin = -kLargest;
  grid.qmax = kLargest;
  grid.scale_levels = 1;
  grid.scales[0] = scale_level(granularity);
  grid.basis = OCTAVO_BASIS_PLAIN;
  grid.row_multiple = 1;
  grid.rows = rows;
  grid.cols = cols;
  return grid;
}

// Reads one claim and says what is wrong with it.
class Reader {
 public:
  Reader(const HeaderView& header, const float8::Claim& claim, const Recognition& recognition)
      : header_(header), claim_(claim), recognition_(recognition) {}

  void read() {
    const std::optional<HeaderTensor> weight = header_.find(claim_.base + ".weight");
    if (!weight) return fail("weight-missing", "there is no weight for this marker");
    if (weight->shape.size() != 2) return fail("weight-shape", "the weight has not two dimensions");
    if (weight->dtype != OCTAVO_F8_E4M3) return fail("weight-dtype", "the weight is not F8_E4M3");
    RecognisedLayer found{claim_.base, weight->shape[0], weight->shape[1], {}, {}};
    add(found, OCTAVO_ROLE_CODES, *weight);
    if (!read_scale(found)) return;
    if (claim_.marker) add(found, OCTAVO_ROLE_MARKER, header_.tensor(*claim_.marker));
    if (claim_.is_legacy()) found.flags |= OCTAVO_ENTRIES_LEGACY_KEYS;
    if (claim_.full_precision) found.flags |= OCTAVO_ENTRIES_FULL_PRECISION_MATMUL;
    const char* ending = claim_.is_legacy() ? ".scale_input" : ".input_scale";
    if (const std::optional<HeaderTensor> input = header_.find(claim_.base + ending)) {
      found.flags |= OCTAVO_ENTRIES_INPUT_SCALE;
      add(found, OCTAVO_ROLE_INPUT_SCALE, *input);
    }
    recognition_.layer(found);
  }

 private:
  void fail(const char* code, const std::string& message) {
    recognition_.finding({OCTAVO_SEVERITY_ERROR, code, claim_.base + ".weight", message});
  }

  bool read_scale(RecognisedLayer& found) {
    const std::string key = claim_.base + claim_.scale_ending;
    const std::optional<HeaderTensor> scale = header_.find(key);
    if (!scale) {
      fail("scale-missing", "'" + key + "' is missing");
      return false;
    }
    if (scale->dtype != OCTAVO_F32 && scale->dtype != OCTAVO_BF16 && scale->dtype != OCTAVO_F16) {
      recognition_.finding(
          {OCTAVO_SEVERITY_ERROR, "scale-dtype", key, "the scale is no float; expected F32"});
      return false;
    }
    const bool one = scale->shape.empty() || scale->shape == std::vector<std::int64_t>{1};
    const bool rows = scale->shape == std::vector<std::int64_t>{found.rows, 1};
    if (!one && !rows) {
      recognition_.finding(
          {OCTAVO_SEVERITY_ERROR, "scale-shape", key, "the scale is neither one number nor one for a row"});
      return false;
    }
    if (rows && !one) {
      recognition_.finding({OCTAVO_SEVERITY_WARNING, "scale-shape", key,
                            "one scale for a row keeps loaders off their FP8 kernels"});
    }
    found.grid = scaled_grid(found.rows, found.cols, one ? OCTAVO_PER_TENSOR : OCTAVO_PER_ROW);
    found.grid.scales[0].dtype = static_cast<std::uint32_t>(scale->dtype);
    add(found, OCTAVO_ROLE_SCALES, *scale);
    return true;
  }

  static void add(RecognisedLayer& found, octavo_role role, const HeaderTensor& tensor) {
    found.entries.push_back({static_cast<std::uint32_t>(role), 0, tensor.index});
  }

  const HeaderView& header_;
  const float8::Claim& claim_;
  const Recognition& recognition_;
};

class Float8E4m3fn final : public Format {
 public:
  Float8E4m3fn(const Host&, const Params&) {}

  Placement grid(const octavo_layer& layer) const override {
    if (layer.rows < 1 || layer.cols < 1) return {std::nullopt, {}, "the layer has no elements"};
    return {scaled_grid(layer.rows, layer.cols, OCTAVO_PER_TENSOR), float8::kFormat, {}};
  }

  std::vector<Entry> entries(const octavo_layer& layer, const octavo_grid& grid,
                             std::uint32_t flags) const override {
    if ((flags & OCTAVO_ENTRIES_LEGACY_KEYS) != 0) {
      throw PluginError(OCTAVO_UNSUPPORTED,
                        "[format] legacy scaled FP8 marks the whole file, which a layer's format cannot do",
                        "leave out --no-comfy_quant");
    }
    const std::string base = layer.name;
    int8::Marker marker;
    marker.format = float8::kFormat;
    marker.full_precision = (flags & OCTAVO_ENTRIES_FULL_PRECISION_MATMUL) != 0;
    const std::string text = int8::marker_text(marker);
    std::vector<Entry> made;
    made.push_back({OCTAVO_ROLE_CODES, layer.key, OCTAVO_F8_E4M3, {grid.rows, grid.cols}});
    made.push_back({OCTAVO_ROLE_SCALES, base + ".weight_scale", OCTAVO_F32, {}});
    made.push_back({OCTAVO_ROLE_MARKER,
                    base + ".comfy_quant",
                    OCTAVO_U8,
                    {static_cast<std::int64_t>(text.size())},
                    text});
    if ((flags & OCTAVO_ENTRIES_INPUT_SCALE) != 0)
      made.push_back({OCTAVO_ROLE_INPUT_SCALE, base + ".input_scale", OCTAVO_F32, {}});
    return made;
  }

  void recognise(const HeaderView& header, const Recognition& recognition) const override {
    for (const float8::Claim& claim : float8::claims_of(header)) Reader(header, claim, recognition).read();
  }
};

}  // namespace

OCTAVO_FORMAT_PLUGIN(Float8E4m3fn, {.id = "float8_e4m3fn",
                                    .version = OCTAVO_PLUGIN_VERSION,
                                    .summary = "Scaled FP8 (E4M3), one scale for the layer"})
