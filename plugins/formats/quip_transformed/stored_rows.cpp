// Rows of the weight from transformed codes, without the whole layer in memory.
//
// W = diag(s_row) Hd_M V Hd_N diag(s_col), V = codes x scales. For an aligned band of b rows (b a power of
// two) the Sylvester matrix factors, H_M = H_{M/b} (x) H_b: the band's rows of H_M V are H_b of the sum of
// all bands of V with the signs of one row of H_{M/b}. So a band takes one reading of the codes, M N
// additions, and b rows of memory. Bands are always the same ones, so that a row's value does not depend on
// which rows are asked for.
#include "layout.hpp"

#include <octavo/incoherent.hpp>

#include <algorithm>
#include <bit>

namespace octavo::quip_transformed {
namespace {

template <typename Value>
std::vector<Value> read_all(const octavo_storage& storage, octavo_role role, std::uint64_t begin,
                            std::uint64_t count) {
  std::vector<Value> values(static_cast<std::size_t>(count));
  check(storage.read(storage.context, static_cast<std::uint32_t>(role), begin * sizeof(Value), values.data(),
                     count * sizeof(Value)),
        empty_error());
  return values;
}

// Entry [row, col] of the Sylvester matrix is 1 or -1 by the parity of the bits that both have.
bool is_negative(std::int64_t row, std::int64_t col) {
  return (std::popcount(static_cast<std::uint64_t>(row & col)) & 1) != 0;
}

class Layer {
 public:
  Layer(const octavo_storage& storage, std::int64_t rows, std::int64_t cols)
      : storage_(storage),
        rows_(rows),
        cols_(cols),
        band_(std::min(kRowsAtATime, rows)),
        scales_(read_all<float>(storage, OCTAVO_ROLE_SCALES, 0, static_cast<std::uint64_t>(rows))),
        row_signs_(read_all<float>(storage, OCTAVO_ROLE_ROW_SIGNS, 0, static_cast<std::uint64_t>(rows))),
        column_signs_(
            read_all<float>(storage, OCTAVO_ROLE_COLUMN_SIGNS, 0, static_cast<std::uint64_t>(cols))) {}

  std::int64_t band() const { return band_; }

  // Rows [number x band(), ...) of the padded weight.
  std::vector<float> rows_of_band(std::int64_t number) const {
    std::vector<double> sums(static_cast<std::size_t>(band_ * cols_), 0.0);
    const std::int64_t bands = rows_ / band_;
    for (std::int64_t other = 0; other < bands; ++other) add_band(other, is_negative(number, other), sums);
    hadamard(sums.data(), band_, cols_, cols_);
    const double factor = 1 / std::sqrt(static_cast<double>(bands));
    std::vector<float> made(sums.size());
    for (std::int64_t r = 0; r < band_; ++r) {
      double* row = sums.data() + r * cols_;
      hadamard(row, cols_);
      const double sign = factor * row_signs_[static_cast<std::size_t>(number * band_ + r)];
      for (std::int64_t c = 0; c < cols_; ++c)
        made[static_cast<std::size_t>(r * cols_ + c)] =
            static_cast<float>(row[c] * sign * column_signs_[static_cast<std::size_t>(c)]);
    }
    return made;
  }

 private:
  void add_band(std::int64_t number, bool negative, std::vector<double>& sums) const {
    const auto count = static_cast<std::uint64_t>(band_ * cols_);
    const auto codes =
        read_all<std::int8_t>(storage_, OCTAVO_ROLE_CODES, static_cast<std::uint64_t>(number) * count, count);
    for (std::int64_t r = 0; r < band_; ++r) {
      const double scale = scales_[static_cast<std::size_t>(number * band_ + r)];
      const double factor = negative ? -scale : scale;
      const std::int8_t* from = codes.data() + r * cols_;
      double* to = sums.data() + r * cols_;
      for (std::int64_t c = 0; c < cols_; ++c) to[c] += factor * from[c];
    }
  }

  const octavo_storage& storage_;
  std::int64_t rows_;
  std::int64_t cols_;
  std::int64_t band_;
  std::vector<float> scales_;
  std::vector<float> row_signs_;
  std::vector<float> column_signs_;
};

}  // namespace

void read_rows(const octavo_tile& tile, const octavo_storage& storage) {
  const octavo_grid& grid = *tile.grid;
  const Layer layer(storage, padded_to_power_of_two(grid.rows), padded_to_power_of_two(grid.cols));
  const std::int64_t end = tile.row_begin + tile.codes.shape[0];
  for (std::int64_t row = tile.row_begin; row < end;) {
    const std::int64_t number = row / layer.band(), begin = number * layer.band();
    const std::int64_t next = std::min(begin + layer.band(), end);
    const std::vector<float> rows = layer.rows_of_band(number);
    const std::int64_t width = padded_to_power_of_two(grid.cols);
    for (; row < next; ++row)
      std::copy_n(rows.begin() + (row - begin) * width, grid.cols,
                  row_of<float>(tile.codes, row - tile.row_begin));
  }
}

}  // namespace octavo::quip_transformed
