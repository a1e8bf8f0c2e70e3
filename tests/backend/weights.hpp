// Weights that are hard to round: what a distribution alone does not reach.
#pragma once

#include "backend_under_test.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace octavo::test {

enum class Weights {
  gaussian,
  heavy_tails,  // Student t with 2 degrees of freedom
  ties,         // (k + 0.5) x a power of two, the row's largest being 127 of them
  near_ties,    // a few units in the last place around (k + 0.5) x scale
  any_bits,     // any finite bit pattern below 2^118
  subnormal,    // of f32
  huge,         // up to the dtype's largest
  zeros,        // 0 and -0
};

inline constexpr Weights kAllWeights[] = {Weights::gaussian,  Weights::heavy_tails, Weights::ties,
                                          Weights::near_ties, Weights::any_bits,    Weights::subnormal,
                                          Weights::huge,      Weights::zeros};

std::string name_of(Weights kind);
std::string dtype_name(std::uint32_t dtype);

inline constexpr std::uint32_t kWeightDtypes[] = {OCTAVO_F64,         OCTAVO_F32,        OCTAVO_BF16,
                                                  OCTAVO_F16,         OCTAVO_F8_E4M3,    OCTAVO_F8_E5M2,
                                                  OCTAVO_F8_E4M3FNUZ, OCTAVO_F8_E5M2FNUZ};

// A fixed seed for each kind and shape.
HostTensor weights(Weights kind, std::uint32_t dtype, std::int64_t rows, std::int64_t cols,
                   std::int64_t room = 0);

// Every bit pattern of a 16-bit or 8-bit dtype once, in rows of 256.
HostTensor every_pattern(std::uint32_t dtype);

// Gaussian matrix of F32, BF16 or F16.
HostTensor gaussian(std::uint32_t dtype, std::int64_t rows, std::int64_t cols, std::uint64_t seed,
                    std::int64_t room = 0);

}  // namespace octavo::test
