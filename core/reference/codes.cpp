#include "reference/codes.hpp"

#include "reference/convert.hpp"
#include "reference/view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace octavo::reference {
namespace {

constexpr float kE2m1Values[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};

bool is_integer(const octavo_grid& grid) {
  return grid.code == OCTAVO_CODE_INTEGER || grid.code == OCTAVO_CODE_INTEGER_ZERO;
}

bool dtype_fits(const octavo_grid& grid) {
  switch (grid.code) {
    case OCTAVO_CODE_INTEGER:
    case OCTAVO_CODE_INTEGER_ZERO:
      switch (grid.stored_dtype) {
        case OCTAVO_I8:
          return grid.qmin >= -128 && grid.qmax <= 127;
        case OCTAVO_U8:
          return grid.qmin >= 0 && grid.qmax <= 255;
        case OCTAVO_I16:
          return grid.qmin >= -32768 && grid.qmax <= 32767;
        default:
          return false;
      }
    case OCTAVO_CODE_E4M3:
      return grid.stored_dtype == OCTAVO_F8_E4M3;
    case OCTAVO_CODE_E5M2:
      return grid.stored_dtype == OCTAVO_F8_E5M2;
    case OCTAVO_CODE_E2M1:
      return grid.stored_dtype == OCTAVO_U8;
    default:
      return false;
  }
}

}  // namespace

void check_codes(const octavo_grid& grid, const char* operation) {
  if (grid.code == OCTAVO_CODE_CODEBOOK)
    unsupported(operation, "codebook codes; integers, E4M3, E5M2, E2M1 and casts are supported");
  if (!dtype_fits(grid)) {
    unsupported(operation,
                fmt::format("codes of kind {} in [{}, {}] stored as dtype {}; integers are stored as I8, U8 "
                            "or I16, E4M3 and E5M2 as their 8-bit floats, E2M1 as U8",
                            grid.code, grid.qmin, grid.qmax, grid.stored_dtype));
  }
  if (is_integer(grid) && grid.qmin >= grid.qmax)
    bad_argument(operation, fmt::format("codes from {} to {}", grid.qmin, grid.qmax));
}

float largest_code(const octavo_grid& grid) {
  switch (grid.code) {
    case OCTAVO_CODE_E4M3:
      return 448.0f;
    case OCTAVO_CODE_E5M2:
      return 57344.0f;
    case OCTAVO_CODE_E2M1:
      return 6.0f;
    default:
      return static_cast<float>(grid.qmax);
  }
}

float nearest_code(const octavo_grid& grid, float t) {
  if (is_integer(grid)) {
    const float whole = std::nearbyint(t);
    return std::clamp(whole, static_cast<float>(grid.qmin), static_cast<float>(grid.qmax));
  }
  const float limit = largest_code(grid);
  const float clamped = std::clamp(t, -limit, limit);
  if (grid.code != OCTAVO_CODE_E2M1) return rounded_to(grid.stored_dtype, clamped);
  return std::copysign(kE2m1Values[small_float_code(kE2m1, std::fabs(clamped))], clamped);
}

void store_code(const octavo_grid& grid, float code, void* codes, std::int64_t index) {
  switch (grid.stored_dtype) {
    case OCTAVO_I8:
      static_cast<std::int8_t*>(codes)[index] = static_cast<std::int8_t>(code);
      return;
    case OCTAVO_I16:
      static_cast<std::int16_t*>(codes)[index] = static_cast<std::int16_t>(code);
      return;
    case OCTAVO_U8: {
      const int bits = grid.code == OCTAVO_CODE_E2M1
                           ? (std::signbit(code) ? 8 : 0) | small_float_code(kE2m1, std::fabs(code))
                           : static_cast<int>(code);
      static_cast<std::uint8_t*>(codes)[index] = static_cast<std::uint8_t>(bits);
      return;
    }
    default:
      store(code, grid.stored_dtype, codes, index);
  }
}

float load_code(const octavo_grid& grid, const void* codes, std::int64_t index) {
  switch (grid.stored_dtype) {
    case OCTAVO_I8:
      return static_cast<const std::int8_t*>(codes)[index];
    case OCTAVO_I16:
      return static_cast<const std::int16_t*>(codes)[index];
    case OCTAVO_U8: {
      const std::uint8_t bits = static_cast<const std::uint8_t*>(codes)[index];
      if (grid.code != OCTAVO_CODE_E2M1) return bits;
      return std::copysign(kE2m1Values[bits & 7], (bits & 8) != 0 ? -1.0f : 1.0f);
    }
    default:
      return load(codes, grid.stored_dtype, index);
  }
}

}  // namespace octavo::reference
