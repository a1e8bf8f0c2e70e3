#include "int8/scale.hpp"

namespace octavo::int8 {
namespace {

constexpr std::int64_t kDefaultEdge = 128;

using Shape = std::vector<std::int64_t>;

ScaleReading fits(octavo_granularity granularity) { return {scale_level(granularity), {}}; }

ScaleReading remark(octavo_granularity granularity, std::uint32_t severity, const Shape& shape,
                    const std::string& consequence) {
  return {scale_level(granularity),
          {severity, "scale-shape", "scale " + shape_text(shape) + ": " + consequence}};
}

ScaleReading misfit(const Shape& shape, const std::string& expected) {
  return {std::nullopt,
          {OCTAVO_SEVERITY_ERROR, "scale-shape",
           "scale " + shape_text(shape) + " does not fit; expected " + expected}};
}

// int8_tensorwise with and without rotation: [] and [rows, 1]; ComfyUI computes with one number or with
// `rows` of them, but dequantizes by broadcasting.
ScaleReading read_tensorwise(bool rotated, std::int64_t rows, const Shape& shape) {
  if (shape == Shape{rows, 1}) return fits(OCTAVO_PER_ROW);
  if (shape.empty()) {
    if (!rotated) return fits(OCTAVO_PER_TENSOR);
    return remark(OCTAVO_PER_TENSOR, OCTAVO_SEVERITY_WARNING, shape,
                  "one scale for a rotated layer is read by ComfyUI only; other loaders want [rows, 1]");
  }
  if (shape == Shape{1}) {
    return remark(OCTAVO_PER_TENSOR, OCTAVO_SEVERITY_WARNING, shape,
                  "ComfyUI cannot patch such a layer with a LoRA in place; expected [] or [rows, 1]");
  }
  if (shape == Shape{1, 1}) {
    return remark(OCTAVO_PER_TENSOR, OCTAVO_SEVERITY_ERROR, shape,
                  "the CUDA kernels of comfy-kitchen refuse it; expected [] or [rows, 1]");
  }
  if (shape == Shape{rows}) {
    return remark(
        OCTAVO_PER_ROW, OCTAVO_SEVERITY_ERROR, shape,
        "dequantizing broadcasts it along the columns, which is an error or silently wrong; expected "
        "[rows, 1]");
  }
  return misfit(shape, "[] or " + shape_text({rows, 1}));
}

ScaleReading read_axiswise(std::int64_t rows, const Shape& shape) {
  if (shape == Shape{rows} || (shape.empty() && rows == 1)) return fits(OCTAVO_PER_ROW);
  if (shape == Shape{rows, 1})
    return remark(OCTAVO_PER_ROW, OCTAVO_SEVERITY_WARNING, shape, "int8_axiswise stores [rows]");
  return misfit(shape, shape_text({rows}));
}

ScaleReading read_blockwise(const Marker& marker, std::int64_t rows, std::int64_t cols, const Shape& shape) {
  const std::int64_t edge = marker.group_size > 0 ? marker.group_size : kDefaultEdge;
  if (rows % edge != 0 || cols % edge != 0) {
    return {std::nullopt,
            {OCTAVO_SEVERITY_ERROR, "block-size",
             "blocks of " + std::to_string(edge) + " do not divide " + shape_text({rows, cols})}};
  }
  const Shape expected{rows / edge, cols / edge};
  const bool one_block = expected == Shape{1, 1} && (shape.empty() || shape == Shape{1});
  if (shape == expected || one_block) return {scale_level(OCTAVO_PER_BLOCK, edge, edge), {}};
  return misfit(shape, shape_text(expected));
}

}  // namespace

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

ScaleReading read_scale_shape(const Claim& claim, std::int64_t rows, std::int64_t cols, const Shape& shape) {
  switch (claim.layout) {
    case Layout::blockwise:
      return read_blockwise(claim.marker, rows, cols, shape);
    case Layout::axiswise:
      return read_axiswise(rows, shape);
    default:
      return read_tensorwise(claim.layout == Layout::convrot, rows, shape);
  }
}

ScaleReading read_scale_dtype(octavo_dtype dtype) {
  octavo_scale_level level = scale_level(OCTAVO_PER_ROW);
  level.dtype = dtype;
  if (dtype == OCTAVO_F32) return {level, {}};
  if (dtype == OCTAVO_F16 || dtype == OCTAVO_BF16) {
    return {level,
            {OCTAVO_SEVERITY_WARNING, "scale-dtype",
             "a scale of 16 bits keeps ComfyUI off its CUDA kernels and costs precision; expected F32"}};
  }
  return {std::nullopt, {OCTAVO_SEVERITY_ERROR, "scale-dtype", "the scale is not F32"}};
}

}  // namespace octavo::int8
