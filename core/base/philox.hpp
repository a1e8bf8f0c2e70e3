// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy
// as 1, 2, 3", SC 2011). Word i of a stream is computed from (seed, name, i) alone, so any thread may ask for
// any part.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace octavo {

// One block: four words of counter and two of key to four random words.
std::array<std::uint32_t, 4> philox_block(std::array<std::uint32_t, 4> counter,
                                          std::array<std::uint32_t, 2> key);

// Words [first, first + words.size()) of the stream (seed, name). Word i is word i mod 4 of the block with
// key = seed and counter = {i / 4 (64 bits), XXH3-64 of the name}, low halves first.
void random_words(std::uint64_t seed, std::string_view name, std::uint64_t first,
                  std::span<std::uint32_t> words);

}  // namespace octavo
