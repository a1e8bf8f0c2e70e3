// Names and endings of what a transformed layer is stored as.
#pragma once

#include <octavo/format.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace octavo::quip_transformed {

inline constexpr const char* kFormat = "quip_transformed";

inline constexpr const char* kScale = ".weight_scale";
inline constexpr const char* kLegacyScale = ".scale_weight";
inline constexpr const char* kMarker = ".comfy_quant";
inline constexpr const char* kRowSigns = ".sign_row";
inline constexpr const char* kColumnSigns = ".sign_col";
inline constexpr const char* kHadamard = ".hadamard_quip";         // I8 [], 1
inline constexpr const char* kRowsOfCodes = ".hadamard_size_out";  // I32 []
inline constexpr const char* kColsOfCodes = ".hadamard_size_in";   // I32 []
// U8, "[rows, cols]": what the weight is cropped to. Only where it was padded.
inline constexpr const char* kShape = ".original_shape";

// F32 [cols], where the codes are those of W diag(factors): a loader divides the inputs by them first.
inline constexpr const char* kSmoothFactors = ".smooth_factors";

// Rows that are read together, in aligned groups.
inline constexpr std::int64_t kRowsAtATime = 256;

// Finds transformed layers in a file.
void recognise(const HeaderView& header, const Recognition& recognition);

// Fills tile.codes (F32 [n, cols]) with rows from tile.row_begin on, whatever the rows of the stored codes.
void read_rows(const octavo_tile& tile, const octavo_storage& storage);

// The grid of values that read_rows gives: floats of the layer's own shape in the plain basis.
octavo_grid reading_grid(std::int64_t rows, std::int64_t cols);

}  // namespace octavo::quip_transformed
