// Right-looking, a panel of columns at a time: its square on the diagonal is factored by LibTorch, the rows
// below are multiplied by the inverse of that small triangle, and what is right of the panel loses P P^T.
// That last step is nearly all of the work. Each value of P is split in two bf16 numbers, P = high + low, and
// P P^T is taken as high high^T + high low^T + low high^T: tensor cores do three such products in a quarter
// of the time of one in f32, and what is left out is 2^-18 of each product, far below the damping.
#include "feedback/panels.hpp"

#include "feedback/outcomes.hpp"

#include <ATen/ops/addmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_solve_triangular.h>
#include <ATen/ops/mm.h>

#include <algorithm>

namespace octavo::feedback {
namespace {

constexpr std::int64_t kPanel = 1024;   // columns of a panel
constexpr std::int64_t kStripe = 2048;  // columns that one product updates

// Rows [row, row + rows) and columns [col, col + cols).
at::Tensor part(const at::Tensor& matrix, std::int64_t row, std::int64_t rows, std::int64_t col,
                std::int64_t cols) {
  return matrix.narrow(0, row, rows).narrow(1, col, cols);
}

// The lower triangle of `matrix` behind `end` loses panel panel^T.
void subtract_product(const at::Tensor& matrix, std::int64_t end, const at::Tensor& panel) {
  const at::Tensor high = panel.to(at::kBFloat16), low = panel.sub(high.to(at::kFloat)).to(at::kBFloat16);
  const at::Tensor left = at::cat({high, high, low}, 1), right = at::cat({high, low, high}, 1);
  const std::int64_t size = matrix.size(0) - end;
  for (std::int64_t at = 0; at < size; at += kStripe) {
    const std::int64_t width = std::min(kStripe, size - at);
    at::Tensor target = part(matrix, end + at, size - at, end + at, width);
    at::addmm_out(target, target, left.narrow(0, at, size - at), right.narrow(0, at, width).mT(), at::kFloat,
                  /*beta=*/1, /*alpha=*/-1);
  }
}

}  // namespace

bool cholesky_in_panels(at::Tensor& matrix) {
  const std::int64_t size = matrix.size(0);
  Outcomes outcomes(size, kPanel, matrix.device());
  for (std::int64_t begin = 0; begin < size; begin += kPanel) {
    const std::int64_t width = std::min(kPanel, size - begin), end = begin + width;
    at::Tensor square = part(matrix, begin, width, begin, width);
    const auto [lower, code] = at::linalg_cholesky_ex(square);
    square.copy_(lower);
    outcomes.add(code);
    if (end == size) break;
    const at::Tensor inverse =
        at::linalg_solve_triangular(lower, at::eye(width, matrix.options()), /*upper=*/false);
    at::Tensor panel = part(matrix, end, size - end, begin, width);
    panel.copy_(at::mm(panel, inverse.mT()));
    subtract_product(matrix, end, panel);
  }
  matrix.tril_();
  return outcomes.are_good();
}

}  // namespace octavo::feedback
