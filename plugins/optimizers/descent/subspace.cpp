#include "subspace.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/linalg_solve_triangular.h>
#include <ATen/ops/linalg_svd.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace octavo::descent {
namespace {

constexpr std::int64_t kOversampling = 10;
constexpr std::int64_t kPanel = 256;  // rows of a product that one task makes

// a b, in panels of its rows.
at::Tensor product(const Work& work, const at::Tensor& a, const at::Tensor& b) {
  const std::int64_t rows = a.size(0), panel = work.device().is_cpu() ? kPanel : rows;
  at::Tensor c = at::empty({rows, b.size(1)}, a.options());
  work.for_each((rows + panel - 1) / panel, [&](std::int64_t i) {
    const std::int64_t begin = i * panel, count = std::min(panel, rows - begin);
    at::Tensor target = c.narrow(0, begin, count);
    at::mm_out(target, a.narrow(0, begin, count), b);
  });
  return c;
}

// Standard normal numbers by Box and Muller's transform from the host's counter-based random numbers.
at::Tensor normal_matrix(const Work& work, std::uint64_t seed, std::int64_t rows, std::int64_t cols) {
  const std::int64_t count = rows * cols, pairs = (count + 1) / 2;
  std::vector<std::uint32_t> words(static_cast<std::size_t>(2 * pairs));
  const octavo_host& host = *work.host().raw();
  const std::string stream = "range finder of " + work.layer();
  host.random(host.context, seed, stream.c_str(), 0, words.size(), words.data());
  at::Tensor values = at::empty({rows, cols}, at::kFloat);
  auto* const target = values.data_ptr<float>();
  for (std::int64_t i = 0; i < pairs; ++i) {
    const auto at = static_cast<std::size_t>(2 * i);
    const double radius = std::sqrt(-2 * std::log((words[at] + 1.0) * 0x1p-32));
    const double angle = words[at + 1] * (2 * 3.14159265358979323846 * 0x1p-32);
    target[2 * i] = static_cast<float>(radius * std::cos(angle));
    if (2 * i + 1 < count) target[2 * i + 1] = static_cast<float>(radius * std::sin(angle));
  }
  return values.to(work.device());
}

bool is_near_identity(const at::Tensor& gram) {
  const at::Tensor distance = gram.sub(at::eye(gram.size(0), gram.options())).abs_().max();
  return distance.item<double>() < 0.01;  // NaN is not
}

// One pass of Cholesky QR: y R^-1 with R^T R = y^T y. Undefined where y^T y has no factor.
at::Tensor cholesky_pass(const Work& work, const at::Tensor& y, const at::Tensor& gram) {
  const auto [lower, info] = at::linalg_cholesky_ex(gram.to(at::kDouble));
  if (info.item<int>() != 0) return {};
  const at::Tensor inverse =
      at::linalg_solve_triangular(lower, at::eye(gram.size(0), lower.options()), /*upper=*/false);
  return product(work, y, inverse.to(at::kFloat).t().contiguous());
}

at::Tensor gram_of(const Work& work, const at::Tensor& y) { return product(work, y.t(), y); }

// An orthonormal basis of y's columns [n, q], q <= n, row-major: Cholesky QR twice, which is all products;
// Householder QR where y is too near to a rank below q for that.
at::Tensor orthonormal(const Work& work, const at::Tensor& y) {
  const at::Tensor once = cholesky_pass(work, y, gram_of(work, y));
  if (once.defined()) {
    const at::Tensor gram = gram_of(work, once);
    const at::Tensor twice = is_near_identity(gram) ? cholesky_pass(work, once, gram) : at::Tensor();
    if (twice.defined()) return twice;
  }
  return std::get<0>(at::linalg_qr(y)).contiguous();
}

// `matrix` as an operator on both sides; the transpose is read in place.
at::Tensor range(const Work& work, const at::Tensor& matrix, std::int64_t width,
                 std::int64_t power_iterations, std::uint64_t seed) {
  const at::Tensor transposed = matrix.t();
  at::Tensor basis =
      orthonormal(work, product(work, matrix, normal_matrix(work, seed, matrix.size(1), width)));
  for (std::int64_t i = 0; i < power_iterations; ++i) {
    const at::Tensor other = orthonormal(work, product(work, transposed, basis));
    basis = orthonormal(work, product(work, matrix, other));
  }
  return basis;
}

// Eigenvalues come in ascending order; those of a Gram matrix in f32 are good to 1e-7 of the largest, its
// leading eigenvectors to that over their distance.
Subspace exact_subspace(const Work& work, const at::Tensor& matrix, std::int64_t k) {
  if (matrix.size(0) < matrix.size(1)) {
    const Subspace flipped = exact_subspace(work, matrix.t(), k);
    return {flipped.right, flipped.left};
  }
  const at::Tensor vectors = std::get<1>(at::linalg_eigh(gram_of(work, matrix)));
  const at::Tensor right = vectors.narrow(1, vectors.size(1) - k, k).contiguous();
  return {orthonormal(work, product(work, matrix, right)), right};
}

std::int64_t width_of(const SubspaceSettings& settings, std::int64_t rows, std::int64_t cols) {
  return std::min(subspace_rank(settings, rows, cols) + kOversampling, std::min(rows, cols));
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
  if (settings.full_matrix) {
    const std::int64_t k = subspace_rank(settings, rows, cols);
    const auto [left, values, right] = at::linalg_svd(matrix, /*full_matrices=*/false);
    return {left.narrow(1, 0, k).contiguous(), right.narrow(0, 0, k).t().contiguous()};
  }
  if (std::min(rows, cols) <= settings.exact_up_to)
    return exact_subspace(work, matrix, subspace_rank(settings, rows, cols));
  const at::Tensor left =
      range(work, matrix, width_of(settings, rows, cols), settings.power_iterations, seed);
  return {left, orthonormal(work, product(work, matrix.t(), left))};
}

Subspace subspace_of_inputs(const Work& work, const at::Tensor& matrix, const at::Tensor& inputs,
                            const SubspaceSettings& settings, std::uint64_t seed) {
  const std::int64_t rows = matrix.size(0), samples = inputs.size(0);
  const std::int64_t width = std::min(width_of(settings, rows, matrix.size(1)), samples);
  const at::Tensor directions =
      settings.full_matrix
          ? std::get<2>(at::linalg_svd(inputs, /*full_matrices=*/false)).narrow(0, 0, width).t().contiguous()
          : range(work, inputs.t(), width, settings.power_iterations, seed);
  // With C C^T the inputs' second moment in these directions, |e V C| is the error of the outputs there.
  const at::Tensor along = product(work, inputs, directions);
  const at::Tensor moment = gram_of(work, along).to(at::kDouble);
  const double mean = moment.trace().item<double>() / static_cast<double>(width);
  if (!(mean > 0)) return leading_subspace(work, matrix, settings, seed);  // nothing but zeros came in
  const auto [factor, info] =
      at::linalg_cholesky_ex(moment.div(mean).add_(at::eye(width, moment.options()), 1e-6));
  const at::Tensor right = product(work, directions, factor.to(at::kFloat));
  return {orthonormal(work, product(work, matrix, right)), right};
}

}  // namespace octavo::descent
