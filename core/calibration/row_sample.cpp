#include "calibration/row_sample.hpp"

#include "base/philox.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <string>

namespace octavo::calibration {
namespace {

// A number below `bound`; 64 bits are so many that the remainder prefers none noticeably.
uint64_t below(uint64_t bound, uint64_t bits) { return bits % bound; }

}  // namespace

std::vector<int64_t> sampled_rows(int64_t rows, int64_t kept, uint64_t seed, std::string_view name) {
  std::vector<int64_t> reservoir(static_cast<size_t>(std::min(rows, kept)));
  std::iota(reservoir.begin(), reservoir.end(), int64_t{0});
  constexpr int64_t kBatch = 512;
  std::array<uint32_t, 2 * kBatch> words{};
  const std::string stream = "calibration rows " + std::string(name);
  for (int64_t begin = kept; begin < rows; begin += kBatch) {
    const int64_t end = std::min(begin + kBatch, rows);
    random_words(seed, stream, static_cast<uint64_t>(2 * begin), words);
    for (int64_t row = begin; row < end; ++row) {
      const auto at = static_cast<size_t>(2 * (row - begin));
      const uint64_t bits = words[at] | static_cast<uint64_t>(words[at + 1]) << 32;
      const uint64_t place = below(static_cast<uint64_t>(row) + 1, bits);
      if (place < reservoir.size()) reservoir[place] = row;
    }
  }
  std::sort(reservoir.begin(), reservoir.end());
  return reservoir;
}

}  // namespace octavo::calibration
