#include "base/philox.hpp"

#include <xxhash.h>

namespace octavo {
namespace {

std::uint32_t low(std::uint64_t value) { return static_cast<std::uint32_t>(value); }
std::uint32_t high(std::uint64_t value) { return static_cast<std::uint32_t>(value >> 32); }

}  // namespace

std::array<std::uint32_t, 4> philox_block(std::array<std::uint32_t, 4> counter,
                                          std::array<std::uint32_t, 2> key) {
  constexpr std::uint64_t kMultiplier0 = 0xD2511F53;
  constexpr std::uint64_t kMultiplier1 = 0xCD9E8D57;
  constexpr std::uint32_t kStep0 = 0x9E3779B9;
  constexpr std::uint32_t kStep1 = 0xBB67AE85;
  constexpr int kRounds = 10;
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t product0 = kMultiplier0 * counter[0];
    const std::uint64_t product1 = kMultiplier1 * counter[2];
    counter = {high(product1) ^ counter[1] ^ key[0], low(product1), high(product0) ^ counter[3] ^ key[1],
               low(product0)};
    key = {key[0] + kStep0, key[1] + kStep1};
  }
  return counter;
}

void random_words(std::uint64_t seed, std::string_view name, std::uint64_t first,
                  std::span<std::uint32_t> words) {
  const std::uint64_t stream = XXH3_64bits(name.data(), name.size());
  std::array<std::uint32_t, 4> block{};
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::uint64_t index = first + i;
    const std::uint64_t number = index / 4;
    if (i == 0 || index % 4 == 0)
      block = philox_block({low(number), high(number), low(stream), high(stream)}, {low(seed), high(seed)});
    words[i] = block[index % 4];
  }
}

}  // namespace octavo
