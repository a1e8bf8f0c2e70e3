#include "reference/incoherent.hpp"

#include "base/philox.hpp"
#include "reference/view.hpp"

#include <octavo/incoherent.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <vector>

namespace octavo::reference {
namespace {

struct Signs {
  explicit Signs(const octavo_grid& grid)
      : rows(draw(grid.basis_seed, kRowSigns, grid.rows)),
        cols(draw(grid.basis_seed, kColumnSigns, grid.cols)) {}

  static std::vector<float> draw(std::uint64_t seed, const char* stream, std::int64_t count) {
    const auto random = [](std::uint64_t key, const char* name, std::span<std::uint32_t> words) {
      random_words(key, name, 0, words);
    };
    return incoherent_signs(random, seed, stream, count);
  }

  std::vector<float> rows;
  std::vector<float> cols;
};

void change_signs(const octavo_grid& grid, const Signs& signs, float* values, std::int64_t stride) {
  for (std::int64_t r = 0; r < grid.rows; ++r) {
    for (std::int64_t c = 0; c < grid.cols; ++c)
      values[r * stride + c] *=
          signs.rows[static_cast<std::size_t>(r)] * signs.cols[static_cast<std::size_t>(c)];
  }
}

void rotate_rows(const octavo_grid& grid, float* values, std::int64_t stride) {
  std::vector<double> row(static_cast<std::size_t>(grid.cols));
  for (std::int64_t r = 0; r < grid.rows; ++r) {
    std::copy_n(values + r * stride, grid.cols, row.begin());
    hadamard(row.data(), grid.cols);
    std::transform(row.begin(), row.end(), values + r * stride,
                   [](double value) { return static_cast<float>(value); });
  }
}

void rotate_columns(const octavo_grid& grid, float* values, std::int64_t stride) {
  constexpr std::int64_t kPanel = 16;
  std::vector<double> panel(static_cast<std::size_t>(grid.rows * kPanel));
  for (std::int64_t first = 0; first < grid.cols; first += kPanel) {
    const std::int64_t width = std::min(kPanel, grid.cols - first);
    for (std::int64_t r = 0; r < grid.rows; ++r)
      std::copy_n(values + r * stride + first, width, panel.begin() + r * width);
    hadamard(panel.data(), grid.rows, width, width);
    for (std::int64_t r = 0; r < grid.rows; ++r) {
      for (std::int64_t c = 0; c < width; ++c)
        values[r * stride + first + c] = static_cast<float>(panel[static_cast<std::size_t>(r * width + c)]);
    }
  }
}

}  // namespace

void check_incoherent(const octavo_grid& grid, const char* operation) {
  const auto is_power = [](std::int64_t size) {
    return size > 0 && std::has_single_bit(static_cast<std::uint64_t>(size));
  };
  if (!is_power(grid.rows) || !is_power(grid.cols))
    bad_argument(operation, fmt::format("an incoherent grid of {} x {}; powers of two are expected",
                                        grid.rows, grid.cols));
}

void to_incoherent(const octavo_grid& grid, float* values, std::int64_t stride) {
  change_signs(grid, Signs(grid), values, stride);
  rotate_rows(grid, values, stride);
  rotate_columns(grid, values, stride);
}

void from_incoherent(const octavo_grid& grid, float* values, std::int64_t stride) {
  rotate_columns(grid, values, stride);
  rotate_rows(grid, values, stride);
  change_signs(grid, Signs(grid), values, stride);
}

}  // namespace octavo::reference
