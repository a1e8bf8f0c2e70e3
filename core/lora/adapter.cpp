#include "lora/adapter.hpp"

#include <algorithm>

namespace octavo::lora {
namespace {

// Row `index` of up down, into `sums`.
void product_row(const Matrix& up, const Matrix& down, int64_t index, std::vector<float>& sums) {
  sums.assign(static_cast<size_t>(down.cols), 0.0F);
  const float* factors = up.row(index);
  for (int64_t i = 0; i < down.rows; ++i) {
    const float factor = factors[i];
    const float* row = down.row(i);
    for (size_t c = 0; c < sums.size(); ++c) sums[c] += factor * row[c];
  }
}

void hadamard_row(const Adapter& adapter, int64_t index, std::vector<float>& update,
                  std::vector<float>& other) {
  product_row(adapter.up, adapter.down, index, update);
  product_row(adapter.up2, adapter.down2, index, other);
  for (size_t c = 0; c < update.size(); ++c) update[c] *= other[c];
}

void kronecker_row(const Adapter& adapter, int64_t index, std::vector<float>& update) {
  const float* outer = adapter.up.row(index / adapter.down.rows);
  const float* inner = adapter.down.row(index % adapter.down.rows);
  update.clear();
  for (int64_t j = 0; j < adapter.up.cols; ++j) {
    for (int64_t l = 0; l < adapter.down.cols; ++l) update.push_back(outer[j] * inner[l]);
  }
}

}  // namespace

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix made{a.rows, b.cols, {}};
  std::vector<float> row;
  for (int64_t r = 0; r < a.rows; ++r) {
    product_row(a, b, r, row);
    made.values.insert(made.values.end(), row.begin(), row.end());
  }
  return made;
}

void add_rows(const Adapter& adapter, int64_t row_begin, int64_t count, float strength, float* target,
              int64_t stride) {
  std::vector<float> update, other;
  for (int64_t r = 0; r < count; ++r) {
    const int64_t index = row_begin + r;
    switch (adapter.kind) {
      case Kind::low_rank:
        product_row(adapter.up, adapter.down, index, update);
        break;
      case Kind::hadamard:
        hadamard_row(adapter, index, update, other);
        break;
      case Kind::kronecker:
        kronecker_row(adapter, index, update);
        break;
      case Kind::difference:
        update.assign(adapter.up.row(index), adapter.up.row(index) + adapter.up.cols);
        break;
    }
    float* row = target + r * stride;
    for (size_t c = 0; c < update.size(); ++c) row[c] += strength * update[c];
  }
}

}  // namespace octavo::lora
