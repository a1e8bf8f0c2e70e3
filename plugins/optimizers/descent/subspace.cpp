#include "subspace.hpp"

#include "leading_directions.hpp"
#include "passes.hpp"

#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/linalg_svd.h>

#include <algorithm>
#include <utility>

namespace octavo::descent {
namespace {

constexpr std::int64_t kOversampling = 10;  // at least
// On a GPU rounded widths cost as much as what they round up. Of few directions that would make many more,
// and the more there are, the less |P| falls: so it may add no more than one in so many.
constexpr std::int64_t kMostWidening = 16;

std::int64_t width_of(const Work& work, const SubspaceSettings& settings, std::int64_t rows,
                      std::int64_t cols) {
  const std::int64_t width = subspace_rank(settings, rows, cols) + kOversampling;
  const std::int64_t rounded = rounded_width(width);
  const bool wider = work.device().is_cuda() && rounded - width <= width / kMostWidening;
  return std::min({wider ? rounded : width, rows, cols});
}

// The right singular vectors of a matrix that is not wider than high. Eigenvalues come in ascending order;
// those of a Gram matrix in f32 are good to 1e-7 of the largest, its leading eigenvectors to that over their
// distance.
at::Tensor right_side(const Work& work, const at::Tensor& matrix, const SubspaceSettings& settings,
                      std::int64_t width, std::uint64_t seed) {
  const at::Tensor moments = gram(work, matrix);
  if (matrix.size(1) > settings.exact_up_to)
    return leading_directions(work, moments, width, settings.filter_degree, seed);
  const at::Tensor vectors = std::get<1>(at::linalg_eigh(moments));
  return vectors.narrow(1, vectors.size(1) - width, width).contiguous();
}

// By the smaller of the two Gram matrices; the other side is where the matrix takes the first.
Subspace both_sides(const Work& work, const at::Tensor& matrix, const SubspaceSettings& settings,
                    std::int64_t width, std::uint64_t seed) {
  if (matrix.size(0) < matrix.size(1)) {
    const Subspace flipped = both_sides(work, matrix.t(), settings, width, seed);
    return {flipped.right, flipped.left};
  }
  // On a GPU both sides are used in 16 bits (gpu_engine.cpp), and so is the matrix that they come from.
  const bool rough = work.device().is_cuda() && matrix.size(1) > settings.exact_up_to;
  const at::Tensor from = rough ? in_halves(work, matrix) : matrix;
  const at::Tensor right = right_side(work, from, settings, width, seed);
  return {orthonormal(work, product(work, from, right)), right};
}

Subspace by_svd(const at::Tensor& matrix, std::int64_t width) {
  const auto [left, values, right] = at::linalg_svd(matrix, /*full_matrices=*/false);
  return {left.narrow(1, 0, width).contiguous(), right.narrow(0, 0, width).t().contiguous()};
}

}  // namespace

std::int64_t subspace_rank(const SubspaceSettings& settings, std::int64_t rows, std::int64_t cols) {
  const std::int64_t most = std::min(rows, cols);
  const auto share = static_cast<std::int64_t>(settings.top_p * static_cast<double>(most));
  return std::min({most, settings.max_k, std::max(settings.min_k, share)});
}

Subspace leading_subspace(const Work& work, const at::Tensor& matrix, const SubspaceSettings& settings,
                          std::uint64_t seed) {
  const std::int64_t rows = matrix.size(0), cols = matrix.size(1);
  const std::int64_t rank = subspace_rank(settings, rows, cols);
  if (settings.full_matrix) return by_svd(matrix, rank);
  const bool exact = std::min(rows, cols) <= settings.exact_up_to;
  return both_sides(work, matrix, settings, exact ? rank : width_of(work, settings, rows, cols), seed);
}

Subspace subspace_of_inputs(const Work& work, const at::Tensor& matrix, const at::Tensor& inputs,
                            const SubspaceSettings& settings, std::uint64_t seed) {
  const std::int64_t rows = matrix.size(0), samples = inputs.size(0);
  const std::int64_t width = std::min(width_of(work, settings, rows, matrix.size(1)), samples);
  const at::Tensor directions = settings.full_matrix ? by_svd(inputs, width).right
                                                     : both_sides(work, inputs, settings, width, seed).right;
  // With C C^T the inputs' second moment in these directions, |e V C| is the error of the outputs there.
  const at::Tensor along = product(work, inputs, directions);
  const at::Tensor moment = gram(work, along).to(at::kDouble);
  const double mean = moment.trace().item<double>() / static_cast<double>(width);
  if (!(mean > 0)) return leading_subspace(work, matrix, settings, seed);  // nothing but zeros came in
  const auto [factor, info] =
      at::linalg_cholesky_ex(moment.div(mean).add_(at::eye(width, moment.options()), 1e-6));
  const at::Tensor right = product(work, directions, factor.to(at::kFloat));
  return {orthonormal(work, product(work, matrix, right)), right};
}

}  // namespace octavo::descent
