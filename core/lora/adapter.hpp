// One update of one weight, in the form in which a LoRA file holds it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace octavo::lora {

// Row-major f32.
struct Matrix {
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<float> values;

  const float* row(int64_t index) const { return values.data() + index * cols; }
  bool empty() const { return values.empty(); }
};

// A product a b, every element summed in the order of the inner dimension, in f32.
Matrix product(const Matrix& a, const Matrix& b);

enum class Kind {
  low_rank,    // up down
  hadamard,    // (up down) x (up2 down2), element by element: LoHa
  kronecker,   // up (x) down, each a whole matrix: LoKr
  difference,  // up: a matrix as large as the weight
};

// An update [rows, cols]; for a weight of more dimensions the first one is the rows and the rest the columns.
struct Adapter {
  std::string layer;  // as its file spells it
  Kind kind = Kind::low_rank;
  Matrix up = {}, down = {};
  Matrix up2 = {}, down2 = {};
  double scale = 1;  // alpha / rank
  int64_t rows = 0;
  int64_t cols = 0;

  // True where a backend's merge_low_rank can add it.
  bool is_low_rank() const { return kind == Kind::low_rank; }
};

// target += strength x rows [row_begin, row_begin + count) of the update; f32, each element of the update
// computed first. `target`: [count, adapter.cols], rows `stride` elements apart. Class A.
void add_rows(const Adapter& adapter, int64_t row_begin, int64_t count, float strength, float* target,
              int64_t stride);

}  // namespace octavo::lora
