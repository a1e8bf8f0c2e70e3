// Subspace iteration with a Chebyshev filter (Zhou, Saad, Tiago, Chelikowsky: "Self-consistent-field
// calculations using Chebyshev-filtered subspace iteration", J. Comput. Phys. 219, 2006).
//
// A power of the Gram matrix favours its leading directions by (a / c)^m, a being their eigenvalue and c the
// largest of those that are not wanted: next to nothing where a spectrum is flat, as that of random numbers
// is. The Chebyshev polynomial of degree m that stays within +-1 on [0, c] grows by about cosh(2 m sqrt(a / c
// - 1)) beyond c, the most that any polynomial of its degree can do, for the same m products. As it spreads
// sizes apart, it is applied in stages that spread them by no more than kSpread, with an orthonormalisation
// after each. By interlacing, c can be read off what a stage has made: the smallest singular value of a
// polynomial of the matrix times an orthonormal basis is never above the polynomial of the last eigenvalue
// that is wanted. So each stage's cut is sharper than that of the one before; the first one's comes from the
// product with a random start. Too low a c costs some sharpness and nothing else.
#include "leading_directions.hpp"

#include "passes.hpp"

#include <ATen/ops/addmm.h>
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

constexpr std::int64_t kPanel = 256;  // rows of a product that one task makes
constexpr double kSpread = 1e6;       // of sizes within a stage
constexpr double kBasisScale = 64;    // of a basis in 16 bits, so that its small parts stay
constexpr std::int64_t kMostStages = 12, kMostStagesOnGpu = 3;  // there a stage costs as much as ten products
constexpr std::int64_t kPowerSteps = 4;

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

// L^-1, f64, of y^T y = L L^T; nothing where that has no factor. It is small beside y, and turns a division
// by L into a product, which on a GPU takes a tenth of a triangular solve.
std::optional<at::Tensor> inverse_factor(const Work& work, const at::Tensor& y) {
  const at::Tensor products = inner_products(work, y);
  const auto [lower, info] = at::linalg_cholesky_ex(products);
  if (info.item<int>() != 0) return std::nullopt;
  const at::Tensor identity = at::eye(products.size(0), products.options());
  return at::linalg_solve_triangular(lower, identity, /*upper=*/false);
}

// y L^-T. With the Gram matrix in f64 its columns are orthonormal to f32 in one pass, unless y is within 1e-7
// of a lower rank.
at::Tensor divide(const Work& work, const at::Tensor& y, const at::Tensor& inverse) {
  return product(work, y, inverse.t().to(at::kFloat));
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

constexpr int kNormSteps = 5;  // of the power method

// Of a Gram matrix, or a little less, from any vector.
double largest_eigenvalue(const at::Tensor& gram, at::Tensor vector) {
  for (int i = 0; i < kNormSteps; ++i)
    vector = at::mv(gram, vector.div(at::linalg_vector_norm(vector).clamp_min(1e-30)));
  return at::linalg_vector_norm(vector).item<double>();
}

// Of an image by its inverse factor, or a little more: what stops short of the smallest is still below the
// eigenvalue that it stands for.
double least_singular_value(const at::Tensor& inverse) {
  at::Tensor vector = at::ones({inverse.size(0)}, inverse.options()), before;
  for (int i = 0; i < kNormSteps; ++i)
    before = std::exchange(vector, at::mv(inverse.t(), at::mv(inverse, vector)));
  return std::sqrt(at::linalg_vector_norm(before).div(at::linalg_vector_norm(vector)).item<double>());
}

// Eigenvalues of the Gram matrix, nearly.
struct Spectrum {
  double cut;  // below those that are wanted
  double top;  // the largest
};

// The Chebyshev polynomial T of some degree that stays within +-1 on [0, cut], over growth^degree, which
// keeps what it makes of a basis in range. On a GPU the matrix is in 16 bits: those blur the filter a little.
// The basis is in two halves of 16 bits: those of one alone would hide what is to grow.
class Filter {
 public:
  Filter(const Work& work, const at::Tensor& gram, const Spectrum& spectrum)
      : work_(work),
        cut_(spectrum.cut),
        growth_(std::exp(std::acosh(std::max(2 * spectrum.top / spectrum.cut - 1, kLeastArgument)))) {
    const double factor = 4 / cut_ / growth_, shift = 2 / growth_;
    if (work.device().is_cuda()) {
      matrix_ = shifted_twice(work, gram, factor, shift);
    } else {
      matrix_ = gram.mul(factor);
      matrix_.diagonal().sub_(shift);
    }
  }

  // The highest that spreads sizes by kSpread, or about that.
  std::int64_t most_degree() const {
    return std::max<std::int64_t>(std::lround(std::acosh(kSpread) / std::log(growth_)), 1);
  }

  at::Tensor filtered(const at::Tensor& basis, std::int64_t degree) const {
    at::Tensor before = basis.mul(kBasisScale), now = times(before).mul_(0.5);
    for (std::int64_t i = 1; i < degree; ++i) before = std::exchange(now, next(std::move(before), now));
    return now;
  }

  // Where T takes this value, which is a singular one of what filtered() has made.
  double eigenvalue_of(double filtered, std::int64_t degree) const {
    const auto n = static_cast<double>(degree);
    const double value = filtered * std::pow(growth_, n) / kBasisScale;
    return cut_ / 2 * (1 + std::cosh(std::acosh(std::max(value, 1.0)) / n));
  }

 private:
  static constexpr double kLeastArgument = 1.05;  // of the growth, where top is hardly above cut

  bool on_gpu() const { return matrix_.scalar_type() == at::kHalf; }

  at::Tensor times(const at::Tensor& basis) const {
    return on_gpu() ? at::mm(matrix_, split(work_, basis), at::kFloat) : product(work_, matrix_, basis);
  }

  // times(now) - before / growth^2. On a GPU the product adds to what is in `before`.
  at::Tensor next(at::Tensor before, const at::Tensor& now) const {
    const double share = 1 / (growth_ * growth_);
    if (!on_gpu()) return times(now).sub_(before, share);
    return at::addmm_out(before, before, matrix_, split(work_, now), at::kFloat, -share);
  }

  const Work& work_;
  double cut_;
  double growth_;      // of T from one degree to the next, at the largest eigenvalue
  at::Tensor matrix_;  // (4 gram / cut - 2) / growth; on a GPU twice, side by side
};

// The Gram matrix times a basis; on a GPU in 16 bits, as it is.
at::Tensor times(const Work& work, const at::Tensor& gram, const at::Tensor& basis) {
  return product(work, work.device().is_cuda() ? gram.to(at::kHalf) : gram, basis);
}

// Where a filter has no use: the weight has too low a rank.
at::Tensor by_powers(const Work& work, const at::Tensor& gram, at::Tensor basis, std::int64_t degree) {
  for (std::int64_t i = 0; i < std::min(degree, kPowerSteps); ++i)
    basis = orthonormal(work, times(work, gram, basis));
  return basis;
}

}  // namespace

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
  const std::optional<at::Tensor> inverse = inverse_factor(work, y);
  return inverse ? divide(work, y, *inverse) : householder(y);
}

at::Tensor gram(const Work& work, const at::Tensor& matrix) {
  if (matrix.scalar_type() == at::kHalf) return at::mm(matrix.t(), matrix, at::kFloat);
  if (work.device().is_cuda()) {
    const at::Tensor scale = largest_magnitude(matrix).clamp_min_(1e-30);
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
  const std::int64_t rows = gram.size(0);
  const at::Tensor scaled = gram.div(gram.diagonal().max().clamp_min(1e-30));
  at::Tensor image = times(work, scaled, random_signs(work, seed, rows, width));
  std::optional<at::Tensor> inverse = inverse_factor(work, image);
  if (!inverse) return by_powers(work, scaled, householder(image), degree);
  at::Tensor basis = divide(work, image, *inverse);
  // The singular values of the random start are within sqrt(rows) +- sqrt(width).
  const double largest = std::sqrt(static_cast<double>(rows)) + std::sqrt(static_cast<double>(width));
  Spectrum spectrum{least_singular_value(*inverse) / largest, largest_eigenvalue(scaled, image.select(1, 0))};
  std::int64_t stages = work.device().is_cuda() ? kMostStagesOnGpu : kMostStages;
  for (; degree > 0 && stages > 0; --stages) {
    const Filter filter(work, scaled, spectrum);
    const std::int64_t most = filter.most_degree();
    const std::int64_t left =
        std::min(stages, (degree + most - 1) / most);  // of which all are to do the same
    const std::int64_t now = std::min(most, (degree + left - 1) / left);
    degree -= now;
    image = filter.filtered(basis, now);
    inverse = inverse_factor(work, image);
    if (!inverse) return householder(image);
    basis = divide(work, image, *inverse);
    if (degree > 0 && stages > 1) spectrum.cut = filter.eigenvalue_of(least_singular_value(*inverse), now);
  }
  return basis;
}

}  // namespace octavo::descent
