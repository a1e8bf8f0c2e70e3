#include "int8/entries.hpp"

#include "int8/marker.hpp"

namespace octavo::int8 {
namespace {

Marker marker_of(const octavo_grid& grid, const std::string& format, std::uint32_t flags) {
  Marker marker;
  marker.format = format;
  if (grid.scales[0].granularity == OCTAVO_PER_BLOCK) marker.group_size = grid.scales[0].block_rows;
  marker.full_precision = (flags & OCTAVO_ENTRIES_FULL_PRECISION_MATMUL) != 0;
  if (grid.basis == OCTAVO_BASIS_CONVROT) {
    marker.convrot = true;
    marker.convrot_groupsize = grid.basis_group;
  }
  return marker;
}

// A rotated layer looks like a plain one but for its marker, and legacy keys have none.
void require_readable_without_marker(const octavo_layer& layer, const octavo_grid& grid) {
  if (grid.basis == OCTAVO_BASIS_PLAIN) return;
  throw PluginError(OCTAVO_UNSUPPORTED,
                    std::string("[format] layer '") + layer.name +
                        "' is rotated, which the legacy keys cannot say; expected the plain basis",
                    "leave out --no-comfy_quant, or choose --format int8_tensorwise");
}

}  // namespace

bool is_empty(const octavo_layer& layer) { return layer.rows < 1 || layer.cols < 1; }

Placement refuse_empty() { return {std::nullopt, {}, "the layer has no elements"}; }

Placement plain_rows(const octavo_layer& layer) {
  return {int8_grid(layer, scale_level(OCTAVO_PER_ROW)), kTensorwise, {}};
}

Placement fallback_to_rows(const octavo_layer& layer, const std::string& reason) {
  Placement placement = plain_rows(layer);
  placement.note = reason;
  placement.fallback = true;
  return placement;
}

std::vector<std::int64_t> stored_scale_shape(const octavo_grid& grid) {
  if (grid.scales[0].granularity == OCTAVO_PER_TENSOR) return {};
  const ScaleShape shape = scale_shape(grid.scales[0], grid.rows, grid.cols);
  return {shape.rows, shape.cols};
}

std::vector<Entry> layer_entries(const octavo_layer& layer, const octavo_grid& grid, std::uint32_t flags) {
  const bool blocks = grid.scales[0].granularity == OCTAVO_PER_BLOCK;
  return layer_entries(layer, grid, flags, blocks ? kBlockwise : kTensorwise, stored_scale_shape(grid));
}

std::vector<Entry> layer_entries(const octavo_layer& layer, const octavo_grid& grid, std::uint32_t flags,
                                 const std::string& format, const std::vector<std::int64_t>& scale_shape) {
  const std::string base = layer.name;
  const bool legacy = (flags & OCTAVO_ENTRIES_LEGACY_KEYS) != 0;
  if (legacy) require_readable_without_marker(layer, grid);

  std::vector<Entry> entries;
  entries.push_back({OCTAVO_ROLE_CODES, layer.key, OCTAVO_I8, {grid.rows, grid.cols}});
  entries.push_back(
      {OCTAVO_ROLE_SCALES, base + (legacy ? ".scale_weight" : ".weight_scale"), OCTAVO_F32, scale_shape});
  if (!legacy) {
    const std::string text = marker_text(marker_of(grid, format, flags));
    const auto size = static_cast<std::int64_t>(text.size());
    entries.push_back({OCTAVO_ROLE_MARKER, base + ".comfy_quant", OCTAVO_U8, {size}, text});
  }
  if ((flags & OCTAVO_ENTRIES_INPUT_SCALE) != 0) {
    // The legacy activation scale has the weight scale's shape; ComfyUI's is one number.
    entries.push_back({OCTAVO_ROLE_INPUT_SCALE, base + (legacy ? ".scale_input" : ".input_scale"), OCTAVO_F32,
                       legacy ? scale_shape : std::vector<std::int64_t>{}});
  }
  return entries;
}

}  // namespace octavo::int8
