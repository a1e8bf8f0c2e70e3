// From the dtype and shape of a stored scale to the level of scales that it is.
#pragma once

#include "int8/claims.hpp"

#include <octavo/format.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace octavo::int8 {

// What is worth saying about a scale; no code where there is nothing.
struct ScaleRemark {
  std::uint32_t severity = 0;
  std::string code = {};
  std::string message = {};
};

// `level` is missing where the codes cannot be turned into weights.
struct ScaleReading {
  std::optional<octavo_scale_level> level = {};
  ScaleRemark remark = {};
};

// How the claim's layout reads the scale of a weight [rows, cols]. Shapes that some loaders read and others
// do not give both a level and a remark.
ScaleReading read_scale_shape(const Claim& claim, std::int64_t rows, std::int64_t cols,
                              const std::vector<std::int64_t>& shape);

// F32 is right, F16 and BF16 are readable; anything else is not a scale.
ScaleReading read_scale_dtype(octavo_dtype dtype);

// "[128, 1]"
std::string shape_text(const std::vector<std::int64_t>& shape);

}  // namespace octavo::int8
