#include "passes.hpp"

#include "gpu_passes.hpp"

#include <ATen/ops/div.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/sub.h>

#include <limits>

namespace octavo::descent {
namespace {

at::Tensor empty_halves(const at::Tensor& like, std::int64_t rows, std::int64_t cols) {
  return at::empty({rows, cols}, like.options().dtype(at::kHalf));
}

ErrorSizes sizes_by_torch(const Band& band) {
  const at::Tensor errors = band.errors();
  return {errors.square().sum(at::kDouble).item<double>(), largest_magnitude(errors).item<double>()};
}

}  // namespace

at::Tensor largest_magnitude(const at::Tensor& matrix) {
  return at::linalg_vector_norm(matrix, std::numeric_limits<double>::infinity());
}

#ifdef OCTAVO_DESCENT_GPU

namespace {

std::uint16_t* halves_of(const at::Tensor& tensor) { return static_cast<std::uint16_t*>(tensor.data_ptr()); }

gpu::Matrix on_gpu(const Work& work, const at::Tensor& matrix) {
  gpu::use_device(work.device().index());
  return {matrix.data_ptr<float>(), matrix.size(0), matrix.size(1), torch_stream(work.device())};
}

}  // namespace

at::Tensor in_halves(const Work& work, const at::Tensor& matrix) {
  if (!matrix.is_contiguous()) return in_halves(work, matrix.t().contiguous()).t();
  at::Tensor halves = empty_halves(matrix, matrix.size(0), matrix.size(1));
  const at::Tensor divisor = largest_magnitude(matrix).clamp_min_(1e-30);
  gpu::divide(on_gpu(work, matrix), divisor.data_ptr<float>(), halves_of(halves));
  check_kernels(work);
  return halves;
}

at::Tensor split(const Work& work, const at::Tensor& matrix) {
  at::Tensor halves = empty_halves(matrix, 2 * matrix.size(0), matrix.size(1));
  gpu::split(on_gpu(work, matrix), halves_of(halves));
  check_kernels(work);
  return halves;
}

at::Tensor shifted_twice(const Work& work, const at::Tensor& matrix, double factor, double shift) {
  at::Tensor halves = empty_halves(matrix, matrix.size(0), 2 * matrix.size(1));
  gpu::shift_twice(on_gpu(work, matrix), static_cast<float>(factor), static_cast<float>(shift),
                   halves_of(halves));
  check_kernels(work);
  return halves;
}

ErrorSizes error_sizes(const Work& work, const Band& band) {
  if (!work.device().is_cuda()) return sizes_by_torch(band);
  const at::Tensor rows = at::empty({2, band.rows()}, band.weights.options().dtype(at::kDouble));
  const at::Tensor squares = rows.select(0, 0), largest = rows.select(0, 1);
  gpu::measure_errors(layer_of(work, band), squares.data_ptr<double>(), largest.data_ptr<double>());
  check_kernels(work);
  return {squares.sum().item<double>(), largest.max().item<double>()};
}

gpu::Layer layer_of(const Work& work, const Band& band) {
  gpu::use_device(work.device().index());
  gpu::Layer layer{};
  layer.rows = band.weights.size(0);
  layer.cols = band.weights.size(1);
  layer.weights = band.weights.data_ptr<float>();
  layer.codes = band.codes.data_ptr<std::int8_t>();
  layer.scales = band.scales.data_ptr<float>();
  layer.scale_row = band.scales.size(0) == 1 ? 0 : band.scales.stride(0);
  layer.scale_col = band.scales.size(1) == 1 ? 0 : 1;
  layer.stream = torch_stream(work.device());
  return layer;
}

void check_kernels(const Work& work) {
  if (const char* const why = gpu::failure())
    throw PluginError(OCTAVO_DEVICE_LOST, "[" + work.layer() + "] a kernel of learned rounding: " + why);
}

#else

at::Tensor in_halves(const Work&, const at::Tensor& matrix) {
  at::Tensor halves = empty_halves(matrix, matrix.size(0), matrix.size(1));
  return at::div_out(halves, matrix, largest_magnitude(matrix).clamp_min_(1e-30));
}

at::Tensor split(const Work&, const at::Tensor& matrix) {
  const std::int64_t rows = matrix.size(0);
  at::Tensor halves = empty_halves(matrix, 2 * rows, matrix.size(1));
  at::Tensor high = halves.narrow(0, 0, rows), low = halves.narrow(0, rows, rows);
  high.copy_(matrix);
  at::sub_out(low, matrix, high);
  return halves;
}

at::Tensor shifted_twice(const Work&, const at::Tensor& matrix, double factor, double shift) {
  const at::Tensor shifted = matrix.mul(factor);
  shifted.diagonal().sub_(shift);
  return shifted.to(at::kHalf).repeat({1, 2});
}

ErrorSizes error_sizes(const Work&, const Band& band) { return sizes_by_torch(band); }

void check_kernels(const Work&) {}

#endif

}  // namespace octavo::descent
