// The tensors that an INT8 layer makes in a file.
#pragma once

#include <octavo/format.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace octavo::int8 {

inline constexpr const char* kTensorwise = "int8_tensorwise";
inline constexpr const char* kBlockwise = "int8_blockwise";
inline constexpr const char* kAxiswise = "int8_axiswise";

// Stored as plain rows: scale [rows, 1].
Placement plain_rows(const octavo_layer& layer);
// The same because the format's own grid does not fit; `reason` goes into the report.
Placement fallback_to_rows(const octavo_layer& layer, const std::string& reason);
// A layer without elements has no grid.
bool is_empty(const octavo_layer& layer);
Placement refuse_empty();

// Shape of the scale in the file: [] per tensor, [rows, 1] per row, [rows / edge, cols / edge] per block.
std::vector<std::int64_t> stored_scale_shape(const octavo_grid& grid);

// Codes, scale, marker (or, with OCTAVO_ENTRIES_LEGACY_KEYS, none) and, where asked for, an activation scale
// whose value is 1 unless it was calibrated: the host writes it. The marker follows from the grid. Throws
// where legacy keys cannot say what the grid is.
std::vector<Entry> layer_entries(const octavo_layer& layer, const octavo_grid& grid, std::uint32_t flags);

// The same with a format name and a scale shape of the caller's.
std::vector<Entry> layer_entries(const octavo_layer& layer, const octavo_grid& grid, std::uint32_t flags,
                                 const std::string& format, const std::vector<std::int64_t>& scale_shape);

}  // namespace octavo::int8
