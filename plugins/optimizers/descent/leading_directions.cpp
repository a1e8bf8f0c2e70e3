// Subspace iteration with a Chebyshev filter (Zhou, Saad, Tiago, Chelikowsky: "Self-consistent-field
// calculations using Chebyshev-filtered subspace iteration", J. Comput. Phys. 219, 2006).
//
// A power of the Gram matrix favours its leading directions by (a / c)^m, a being their eigenvalue and c the
// largest of those that are not wanted: next to nothing where a spectrum is flat, as that of random numbers
// is. The Chebyshev polynomial of degree m that stays within +-1 on [0, c] grows by about cosh(2 m sqrt(a / c
// - 1)) beyond c, the most that any polynomial of its degree can do, for the same m products. A first basis
// comes from a random start and two products. By interlacing, c can be read off it: the smallest singular
// value of the Gram matrix times an orthonormal basis is never above the last eigenvalue that is wanted. Too
// low a c costs some sharpness and nothing else. As the polynomial spreads sizes apart, it is applied in
// stages that spread them by no more than kSpread, with an orthonormalisation after each.
#include "leading_directions.hpp"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/linalg_solve_triangular.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/mv.h>
#include <ATen/ops/ones.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

namespace octavo::descent {
namespace {

constexpr std::int64_t kPanel = 256;                            // rows of a product that one task makes
constexpr double kSpread = 1e4, kSpreadOnGpu = 1e3;             // of sizes within a stage; there in 16 bits
constexpr std::int64_t kMostStages = 12, kMostStagesOnGpu = 4;  // there a stage costs as much as ten products
constexpr std::int64_t kPowerSteps = 4;  // where a filter has no use: the weight has too low a rank

// body(begin, count) for panels of rows; all at once on a GPU.
template <typename Body>
void for_panels(const Work& work, std::int64_t rows, const Body& body) {
  const std::int64_t panel = work.device().is_cpu() ? kPanel : rows;
  work.for_each((rows + panel - 1) / panel,
                [&](std::int64_t i) { body(i * panel, std::min(panel, rows - i * panel)); });
}

// y^T y in f64.
at::Tensor inner_products(const Work& work, const at::Tensor& y) {
  const at::Tensor wide = y.to(at::kDouble);
  at::Tensor sums = at::empty({y.size(1), y.size(1)}, wide.options());
  for_panels(work, y.size(1), [&](std::int64_t begin, std::int64_t count) {
    at::Tensor target = sums.narrow(0, begin, count);
    at::mm_out(target, wide.narrow(1, begin, count).t(), wide);
  });
  return sums;
}

// L with L L^T = a Gram matrix, and L^-1, both f64. The inverse is small beside what is divided by L, and
// turns every division into a product, which on a GPU takes a tenth of a triangular solve.
struct Cholesky {
  at::Tensor lower, inverse;
};

// Nothing where the matrix has no factor.
std::optional<Cholesky> cholesky(const at::Tensor& matrix) {
  const auto [lower, info] = at::linalg_cholesky_ex(matrix);
  if (info.item<int>() != 0) return std::nullopt;
  const at::Tensor identity = at::eye(matrix.size(0), matrix.options());
  return Cholesky{lower, at::linalg_solve_triangular(lower, identity, /*upper=*/false)};
}

// y L^-T. With the Gram matrix in f64 its columns are orthonormal to f32 in one pass, unless y is within 1e-7
// of a lower rank.
at::Tensor divide(const Work& work, const at::Tensor& y, const Cholesky& by) {
  return product(work, y, by.inverse.t().to(at::kFloat));
}

at::Tensor householder(const at::Tensor& y) { return std::get<0>(at::linalg_qr(y)).contiguous(); }

// Random signs, a bit each from the host's counter-based random numbers.
at::Tensor random_signs(const Work& work, std::uint64_t seed, std::int64_t rows, std::int64_t cols) {
  const std::int64_t words = (rows * cols + 31) / 32;
  at::Tensor bits = at::empty({words, 1}, at::kInt);
  const octavo_host& host = *work.host().raw();
  const std::string stream = "range finder of " + work.layer();
  host.random(host.context, seed, stream.c_str(), 0, static_cast<std::uint64_t>(words),
              reinterpret_cast<std::uint32_t*>(bits.data_ptr<int>()));
  bits = bits.to(work.device());
  const at::Tensor places = at::arange(32, bits.options()).unsqueeze(0);
  return bits.bitwise_right_shift(places)
      .bitwise_and_(1)
      .view(-1)
      .narrow(0, 0, rows * cols)
      .view({rows, cols})
      .to(at::kFloat)
      .mul_(2)
      .sub_(1);
}

// Products with a Gram matrix, its largest entry scaled to 1. On a GPU of 16-bit numbers, summed in f32: they
// shape a filter, and what they blur the next product sharpens.
class Operator {
 public:
  Operator(const Work& work, const at::Tensor& gram)
      : work_(work), matrix_(gram.div(gram.diagonal().max().clamp_min(1e-30))) {
    if (work.device().is_cuda()) matrix_ = matrix_.to(at::kHalf);
  }

  at::Tensor times(const at::Tensor& basis) const { return product(work_, matrix_, basis); }

  // The Chebyshev polynomial that stays within +-1 on [0, cut].
  at::Tensor filter(const at::Tensor& basis, double cut, std::int64_t degree) const {
    at::Tensor before = basis, now = times(basis).mul_(2 / cut).sub_(basis);
    for (std::int64_t i = 1; i < degree; ++i) {
      at::Tensor next = times(now).mul_(4 / cut).sub_(now, 2).sub_(before);
      before = std::move(now);
      now = std::move(next);
    }
    return now;
  }

 private:
  const Work& work_;
  at::Tensor matrix_;
};

struct Spectrum {
  double cut;  // below the eigenvalues that are wanted
  double top;  // about the largest one
};

// Extreme singular values of an image whose Gram matrix is L L^T, by a few steps of the power method. (What
// stops short of the smallest stays above it by little, and below the eigenvalue that it stands for.)
Spectrum extremes(const Cholesky& of) {
  constexpr int kSteps = 6;
  at::Tensor small = at::ones({of.lower.size(0)}, of.lower.options()), large = small;
  for (int i = 0; i < kSteps; ++i) {
    small = small.div(at::linalg_vector_norm(small));
    large = large.div(at::linalg_vector_norm(large));
    small = at::mv(of.inverse.t(), at::mv(of.inverse, small));
    large = at::mv(of.lower, at::mv(of.lower.t(), large));
  }
  return {1 / std::sqrt(at::linalg_vector_norm(small).item<double>()),
          std::sqrt(at::linalg_vector_norm(large).item<double>())};
}

std::int64_t stage_degree(const Spectrum& spectrum, double spread, std::int64_t degree) {
  const double growth = std::acosh(std::max(2 * 1.05 * spectrum.top / spectrum.cut - 1, 1.05));
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::acosh(spread) / growth), 1, degree);
}

}  // namespace

at::Tensor in_halves(const at::Tensor& matrix) {
  return matrix.div(matrix.abs().max().clamp_min_(1e-30)).to(at::kHalf);
}

at::Tensor product(const Work& work, const at::Tensor& a, const at::Tensor& b) {
  if (a.scalar_type() == at::kHalf) return at::mm(a, b.to(at::kHalf), at::kFloat);
  at::Tensor c = at::empty({a.size(0), b.size(1)}, a.options());
  for_panels(work, a.size(0), [&](std::int64_t begin, std::int64_t count) {
    at::Tensor target = c.narrow(0, begin, count);
    at::mm_out(target, a.narrow(0, begin, count), b);
  });
  return c;
}

at::Tensor orthonormal(const Work& work, const at::Tensor& y) {
  const std::optional<Cholesky> factor = cholesky(inner_products(work, y));
  return factor ? divide(work, y, *factor) : householder(y);
}

at::Tensor gram(const Work& work, const at::Tensor& matrix) {
  if (matrix.scalar_type() == at::kHalf) return at::mm(matrix.t(), matrix, at::kFloat);
  if (work.device().is_cuda()) {
    const at::Tensor scale = matrix.abs().max().clamp_min_(1e-30);
    const at::Tensor scaled = matrix.div(scale), high = scaled.to(at::kHalf);
    const at::Tensor cross = at::mm(high.t(), scaled.sub(high).to(at::kHalf), at::kFloat);
    return at::mm(high.t(), high, at::kFloat).add_(cross).add_(cross.t()).mul_(scale).mul_(scale);
  }
  const std::int64_t cols = matrix.size(1);
  at::Tensor result = at::empty({cols, cols}, matrix.options());
  for_panels(work, cols, [&](std::int64_t begin, std::int64_t count) {
    at::Tensor target = result.narrow(0, begin, count).narrow(1, begin, cols - begin);
    target.copy_(at::mm(matrix.narrow(1, begin, count).t(), matrix.narrow(1, begin, cols - begin)));
  });
  for (std::int64_t begin = kPanel; begin < cols; begin += kPanel) {
    const std::int64_t count = std::min(kPanel, cols - begin);
    result.narrow(0, begin, count)
        .narrow(1, 0, begin)
        .copy_(result.narrow(0, 0, begin).narrow(1, begin, count).t());
  }
  return result;
}

at::Tensor leading_directions(const Work& work, const at::Tensor& gram, std::int64_t width,
                              std::int64_t degree, std::uint64_t seed) {
  const Operator matrix(work, gram);
  at::Tensor basis = orthonormal(work, matrix.times(random_signs(work, seed, gram.size(0), width)));
  const at::Tensor image = matrix.times(basis);
  const std::optional<Cholesky> factor = cholesky(inner_products(work, image));
  if (!factor) {
    basis = householder(image);
    for (std::int64_t i = 0; i < std::min(degree, kPowerSteps); ++i)
      basis = orthonormal(work, matrix.times(basis));
    return basis;
  }
  basis = divide(work, image, *factor);
  if (degree == 0) return basis;
  const Spectrum spectrum = extremes(*factor);
  const bool on_gpu = work.device().is_cuda();
  const std::int64_t most = on_gpu ? kMostStagesOnGpu : kMostStages;
  const std::int64_t in_stage = stage_degree(spectrum, on_gpu ? kSpreadOnGpu : kSpread, degree);
  const std::int64_t stages = std::min(most, (degree + in_stage - 1) / in_stage);
  for (std::int64_t i = 0; i < stages; ++i)
    basis = orthonormal(work, matrix.filter(basis, spectrum.cut, in_stage));
  return basis;
}

}  // namespace octavo::descent
