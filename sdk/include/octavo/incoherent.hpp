// SPDX-License-Identifier: Apache-2.0
// The incoherent basis: Hd diag(row signs) W diag(column signs) Hd, W padded with zeros to powers of two, Hd
// the Sylvester Hadamard matrix / sqrt(n), which is symmetric and its own inverse (Chee et al., QuIP, arXiv
// 2307.13304; Tseng et al., QuIP#, arXiv 2402.04396). Random signs make every value a sum of all others with
// random signs, so that no outlier is left. It couples all rows and all columns of a layer.
#pragma once

#include <octavo/abi/grid.h>
#include <octavo/abi/plugin.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace octavo {

// Beyond this magnitude a sum over the largest padded layer could overflow: it counts as non-finite.
inline constexpr float kIncoherentLimit = 0x1p96f;

inline std::int64_t padded_to_power_of_two(std::int64_t size) {
  return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(size)));
}

// Streams of random numbers, keyed by a grid's basis_seed, that the signs are drawn from.
inline constexpr const char* kRowSigns = "incoherent rows";
inline constexpr const char* kColumnSigns = "incoherent columns";

// `count` signs, +1 or -1: the bits of the stream's words, lowest first, a set one being -1. random(seed,
// stream, words) fills a span with the first words of a stream, as octavo_host.random does.
template <typename Random>
std::vector<float> incoherent_signs(Random&& random, std::uint64_t seed, const char* stream,
                                    std::int64_t count) {
  std::vector<std::uint32_t> words(static_cast<std::size_t>((count + 31) / 32));
  random(seed, stream, std::span<std::uint32_t>(words));
  std::vector<float> signs(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < signs.size(); ++i)
    signs[i] = (words[i / 32] >> (i % 32) & 1) != 0 ? -1.0f : 1.0f;
  return signs;
}

inline std::vector<float> incoherent_signs(const octavo_host& host, std::uint64_t seed, const char* stream,
                                           std::int64_t count) {
  const auto random = [&](std::uint64_t key, const char* name, std::span<std::uint32_t> words) {
    host.random(host.context, key, name, 0, words.size(), words.data());
  };
  return incoherent_signs(random, seed, stream, count);
}

// values <- Hd values, in place; their number is a power of two. `stride`: from one to the next, `width`: how
// many such vectors lie side by side. Additions only, at distances 1, 2, 4, ..., then one multiplication.
template <typename Real>
void hadamard(Real* values, std::int64_t count, std::int64_t stride = 1, std::int64_t width = 1) {
  for (std::int64_t half = 1; half < count; half *= 2) {
    for (std::int64_t start = 0; start < count; start += 2 * half) {
      for (std::int64_t i = start; i < start + half; ++i) {
        Real* upper = values + i * stride;
        Real* lower = values + (i + half) * stride;
        for (std::int64_t k = 0; k < width; ++k) {
          const Real sum = upper[k] + lower[k];
          lower[k] = upper[k] - lower[k];
          upper[k] = sum;
        }
      }
    }
  }
  const Real factor = 1 / std::sqrt(static_cast<Real>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t k = 0; k < width; ++k) values[i * stride + k] *= factor;
  }
}

}  // namespace octavo
