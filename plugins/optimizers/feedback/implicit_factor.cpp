// Elimination leaves, once the columns before a group are gone, diag(d) + X^T M X for the others, with M = (1
// + sum of x_j x_j^T / d_j over those columns)^-1, [samples, samples]. (Woodbury; for the same reason a
// Kalman filter needs no more than its covariance.) So with the group's X_B and Y = M X_B
//
//   diag(d_B) + X_B^T Y = C C^T,   P = Y C^-T,   L_iB = x_i^T P diag(C)^-1 behind the group,   M -= P P^T.
//
// That is 4 samples^2 columns multiplications in place of columns^3 / 3, and memory for 2 samples rows of
// columns in place of columns^2. What feedback needs of it is as thin: the sums of (weight - stored) x^T over
// the columns that are done, times g (see Feed).
#include "feedback/implicit_factor.hpp"

#include "feedback/outcomes.hpp"

#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_solve_triangular.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

namespace octavo::feedback {
std::optional<ImplicitFactor> factor_implicitly(const at::Tensor& inputs, const at::Tensor& diagonal,
                                                std::int64_t group) {
  const std::int64_t samples = inputs.size(0), cols = inputs.size(1);
  const at::TensorOptions options = diagonal.options();
  ImplicitFactor made{at::empty({cols, std::min(group, cols)}, options), at::empty_like(inputs),
                      at::empty({cols}, options)};
  at::Tensor between = at::eye(samples, options);  // M
  Outcomes outcomes(cols, group, inputs.device());
  for (std::int64_t begin = 0; begin < cols; begin += group) {
    const std::int64_t width = std::min(group, cols - begin);
    const at::Tensor x = inputs.narrow(1, begin, width).to(options.dtype());
    const at::Tensor y = at::mm(between, x);
    at::Tensor square = at::mm(x.t(), y);
    square.diagonal().add_(diagonal.narrow(0, begin, width));
    const auto [lower, code] = at::linalg_cholesky_ex(square);
    outcomes.add(code);
    const at::Tensor root = lower.diagonal();
    const at::Tensor p = at::linalg_solve_triangular(lower.mT(), y, /*upper=*/true, /*left=*/false);
    made.squares.narrow(0, begin, width).narrow(1, 0, width).copy_(lower.div(root));
    made.gains.narrow(1, begin, width).copy_(p.div(root));
    made.pivots.narrow(0, begin, width).copy_(root.mul(root));
    if (begin + width < cols) at::addmm_out(between, between, p, p.t(), /*beta=*/1, /*alpha=*/-1);
  }
  if (!outcomes.are_good()) return std::nullopt;
  return made;
}

at::Tensor solve_implicitly(const at::Tensor& squares, const at::Tensor& inputs, const at::Tensor& gains,
                            const at::Tensor& x) {
  const std::int64_t cols = inputs.size(1), group = squares.size(1);
  at::Tensor solved = at::empty_like(x), sums = at::zeros({x.size(0), inputs.size(0)}, x.options());
  for (std::int64_t begin = 0; begin < cols; begin += group) {
    const std::int64_t width = std::min(group, cols - begin);
    const auto part = [&](const at::Tensor& matrix) {
      return matrix.narrow(1, begin, width).to(x.options().dtype());
    };
    const at::Tensor square = squares.narrow(0, begin, width).narrow(1, 0, width);
    const at::Tensor left = part(x).sub(at::mm(sums, part(inputs)));
    const at::Tensor here = at::linalg_solve_triangular(square.mT(), left, /*upper=*/true, /*left=*/false,
                                                        /*unitriangular=*/true);
    solved.narrow(1, begin, width).copy_(here);
    sums.addmm_(here, part(gains).t());
  }
  return solved;
}

}  // namespace octavo::feedback
