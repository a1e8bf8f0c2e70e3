#include "weights.hpp"

#include "reference/convert.hpp"

#include <octavo/tensor.hpp>

#include <bit>
#include <cmath>
#include <random>

namespace octavo::test {
namespace {

using Random = std::mt19937_64;

std::uint64_t seed_of(Weights kind, std::uint32_t dtype, std::int64_t rows, std::int64_t cols) {
  return static_cast<std::uint64_t>(kind) * 1000003 + dtype * 7919 +
         static_cast<std::uint64_t>(rows * 65537 + cols);
}

float uniform_bits(Random& random, float below) {
  for (;;) {
    const float value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (std::isfinite(value) && std::fabs(value) < below) return value;
  }
}

// One value in f32. `step` is the scale that the row will have for ties.
float draw(Weights kind, Random& random, float step, std::int64_t col) {
  std::normal_distribution<float> normal(0.0f, 0.02f);
  switch (kind) {
    case Weights::gaussian:
      return normal(random);
    case Weights::heavy_tails:
      return std::student_t_distribution<float>(2.0f)(random) * 0.02f;
    case Weights::ties:
    case Weights::near_ties: {
      if (col == 0) return 127.0f * step;
      const float tie = (static_cast<float>(random() % 253) - 126.5f) * step;
      if (kind == Weights::ties) return tie;
      return std::bit_cast<float>(std::bit_cast<std::uint32_t>(tie) +
                                  static_cast<std::uint32_t>(random() % 17) - 8);
    }
    case Weights::any_bits:
      return uniform_bits(random, 0x1p118f);
    case Weights::subnormal:
      return std::bit_cast<float>(static_cast<std::uint32_t>(random()) & 0x807fffffu);
    case Weights::huge:
      return uniform_bits(random, INFINITY);
    default:
      return (random() & 1) != 0 ? -0.0f : 0.0f;
  }
}

// Keeps what the dtype turned into an infinity or NaN out of distributions that are to be finite.
float into_range(Weights kind, std::uint32_t dtype, float value) {
  const float largest = kind == Weights::huge ? reference::largest_finite(dtype)
                                              : std::min(reference::largest_finite(dtype), 0x1.fep117f);
  return std::fabs(value) > largest ? std::copysign(largest, value) : value;
}

}  // namespace

std::string name_of(Weights kind) {
  switch (kind) {
    case Weights::gaussian:
      return "gaussian";
    case Weights::heavy_tails:
      return "heavy tails";
    case Weights::ties:
      return "ties";
    case Weights::near_ties:
      return "near ties";
    case Weights::any_bits:
      return "any bits";
    case Weights::subnormal:
      return "subnormal";
    case Weights::huge:
      return "huge";
    default:
      return "zeros";
  }
}

std::string dtype_name(std::uint32_t dtype) {
  switch (dtype) {
    case OCTAVO_F64:
      return "F64";
    case OCTAVO_F32:
      return "F32";
    case OCTAVO_BF16:
      return "BF16";
    case OCTAVO_F16:
      return "F16";
    case OCTAVO_F8_E4M3:
      return "F8_E4M3";
    case OCTAVO_F8_E5M2:
      return "F8_E5M2";
    case OCTAVO_F8_E4M3FNUZ:
      return "F8_E4M3FNUZ";
    default:
      return "F8_E5M2FNUZ";
  }
}

HostTensor weights(Weights kind, std::uint32_t dtype, std::int64_t rows, std::int64_t cols,
                   std::int64_t room) {
  Random random(seed_of(kind, dtype, rows, cols));
  HostTensor made = matrix(dtype, rows, cols, room);
  for (std::int64_t r = 0; r < rows; ++r) {
    // near_ties: any scale at all; ties: exact ones.
    const float step = kind == Weights::near_ties
                           ? 0.001f * (1.0f + static_cast<float>(random() % 1000) * 1e-3f)
                           : std::ldexp(1.0f, static_cast<int>(random() % 9) - 8);
    for (std::int64_t c = 0; c < cols; ++c) {
      const float value = into_range(kind, dtype, draw(kind, random, step, c));
      reference::store(value, dtype, made.bytes.data(), r * made.stride + c);
    }
  }
  return made;
}

HostTensor every_pattern(std::uint32_t dtype) {
  const std::int64_t rows = bytes_of(dtype) == 2 ? 256 : 1;
  HostTensor made = matrix(dtype, rows, 256);
  for (std::int64_t i = 0; i < rows * 256; ++i) {
    if (rows == 256)
      made.row<std::uint16_t>(0)[i] = static_cast<std::uint16_t>(i);
    else
      made.row<std::uint8_t>(0)[i] = static_cast<std::uint8_t>(i);
  }
  return made;
}

HostTensor gaussian(std::uint32_t dtype, std::int64_t rows, std::int64_t cols, std::uint64_t seed,
                    std::int64_t room) {
  Random random(seed);
  std::normal_distribution<float> normal;
  HostTensor made = matrix(dtype, rows, cols, room);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c)
      reference::store(normal(random), dtype, made.bytes.data(), r * made.stride + c);
  }
  return made;
}

}  // namespace octavo::test
