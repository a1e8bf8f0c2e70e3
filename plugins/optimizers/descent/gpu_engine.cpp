// An iteration makes the gradient U P V^T in one product of 16-bit matrices, reads it once to move all
// weights and list the steps, and computes the P of the listed steps, which are few, from their rows of V. U
// and V are rounded to 16 bits first, so that P means the same in every product; P itself is kept in f64. One
// answer of four numbers a batch goes to the host, which decides.
#include "gpu_engine.hpp"

#include "gpu_steps.hpp"

#ifndef OCTAVO_DESCENT_GPU

namespace octavo::descent {

std::unique_ptr<StepEngine> make_gpu_engine(const Work&, GridTile&, const Subspace&, const ProjectedSettings&,
                                            const Rule&) {
  return nullptr;
}

}  // namespace octavo::descent

#else

#include <ATen/ops/bmm.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace octavo::descent {
namespace {

constexpr std::int64_t kWidthMultiple = 64;  // what products of 16-bit matrices are fast at
constexpr std::int64_t kMostWidth = 4096;
constexpr std::int64_t kLeastCapacity = 64;
constexpr std::int64_t kMostChunks = 8;

std::uint16_t* halves(const at::Tensor& tensor) { return static_cast<std::uint16_t*>(tensor.data_ptr()); }

// [n, q] f32 -> [n, q rounded up] in 16 bits.
at::Tensor narrowed(const at::Tensor& basis) {
  const std::int64_t missing = (kWidthMultiple - basis.size(1) % kWidthMultiple) % kWidthMultiple;
  return at::constant_pad_nd(basis.to(at::kHalf), {0, missing}).contiguous();
}

at::Tensor row_squares(const at::Tensor& basis) { return basis.to(at::kFloat).square_().sum(1); }

class GpuEngine final : public StepEngine {
 public:
  GpuEngine(const Work& work, const GridTile& tile, const Subspace& subspace,
            const ProjectedSettings& settings, const Rule& rule, bool moments)
      : rule_(rule),
        error_weight_(static_cast<float>(settings.error_weight)),
        left_(narrowed(subspace.left)),
        right_(narrowed(subspace.right)),
        band_(tile.bands().front()),
        left_squares_(row_squares(left_)),
        right_squares_(row_squares(right_)),
        work_(work) {
    gpu::use_device(work.device().index());
    const std::int64_t rows = tile.rows(), cols = tile.cols(), width = right_.size(1);
    const auto options = at::TensorOptions().device(work.device());
    const auto half = options.dtype(at::kHalf);
    const auto wide = options.dtype(at::kDouble);
    gradient_ = at::empty({rows, cols}, half);
    distance_ = at::empty({rows, cols}, half);
    offset_ = at::zeros({rows, cols}, half);
    if (moments) {
      mean_ = at::zeros({rows, cols}, half);
      square_ = at::zeros({rows, cols}, options.dtype(at::kFloat));
    }
    const std::int64_t capacity = std::min(cols, std::max(kLeastCapacity, cols / 4));
    elements_ = at::empty({rows, capacity}, options.dtype(at::kInt));
    counts_ = at::empty({rows}, options.dtype(at::kInt));
    sums_ = at::empty({2, rows}, wide);
    image_ = at::empty({rows, width}, half);
    change_ = at::empty({width, width}, options.dtype(at::kFloat));
    chunks_ = at::empty({std::gcd(rows, kMostChunks), width, width}, options.dtype(at::kFloat));
    projection_ = at::empty({width, width}, wide);
    trial_ = at::empty({width, width}, wide);
    partial_ = at::empty({width}, wide);
    results_ = at::empty({gpu::kResults}, wide);
    fill_layer(tile);
    batch_ = {capacity,
              elements_.data_ptr<int>(),
              counts_.data_ptr<int>(),
              sums_.data_ptr<double>(),
              sums_.data_ptr<double>() + rows,
              halves(image_)};
  }

  SquaredNorms measure() override {
    gpu::residual(layer_, halves(gradient_), batch_.error);
    check_kernels();
    at::mm_out(image_, gradient_, right_);
    project_image();
    projection_.copy_(change_);
    return {projection_.square().sum().item<double>(), sums_.select(0, 1).sum().item<double>()};
  }

  Change propose(std::int64_t iteration, double rate, double share, double projected) override {
    const double size = std::sqrt(projected) / static_cast<double>(right_.size(1));  // of P's elements
    const double scale = size > 0 ? std::exp2(std::ilogb(size)) : 1;
    make_gradient(1 / scale);
    proposal_ = {halves(gradient_), static_cast<float>(scale), static_cast<float>(rate), error_weight_, share,
                 iteration};
    gpu::propose(layer_, *rule_.on_gpu(iteration), proposal_, batch_);
    return tried();
  }

  Change thin(std::int64_t iteration, double share) override {
    gpu::thin(layer_, batch_, iteration, share);
    return tried();
  }

  void accept() override {
    gpu::accept(layer_, batch_);
    check_kernels();
    std::swap(projection_, trial_);
  }

 private:
  void fill_layer(const GridTile& tile) {
    const at::Tensor& scales = band_.scales;
    layer_ = {tile.rows(),
              tile.cols(),
              right_.size(1),
              band_.weights.data_ptr<float>(),
              band_.codes.data_ptr<std::int8_t>(),
              scales.data_ptr<float>(),
              band_.steps.data_ptr<float>(),
              scales.size(0) == 1 ? 0 : scales.stride(0),
              scales.size(1) == 1 ? 0 : 1,
              tile.least_code(),
              tile.largest_code(),
              halves(distance_),
              halves(offset_),
              mean_.defined() ? halves(mean_) : nullptr,
              square_.defined() ? square_.data_ptr<float>() : nullptr,
              halves(right_),
              left_squares_.data_ptr<float>(),
              right_squares_.data_ptr<float>(),
              torch_stream(work_.device())};
  }

  // U P V^T times `scale`, P going to the side of which there is less.
  void make_gradient(double scale) {
    const at::Tensor middle = projection_.mul(scale).to(at::kHalf);
    if (left_.size(0) < right_.size(0)) {
      at::mm_out(gradient_, at::mm(left_, middle), right_.t());
    } else {
      at::mm_out(gradient_, left_, at::mm(middle, right_.t()));
    }
  }

  // change = U^T image, by chunks of rows: the product alone has too few tiles for a GPU.
  void project_image() {
    const std::int64_t height = left_.size(0) / chunks_.size(0);
    const auto in_chunks = [&](const at::Tensor& matrix) {
      return matrix.view({chunks_.size(0), height, matrix.size(1)});
    };
    at::bmm_out(chunks_, in_chunks(left_).transpose(1, 2), in_chunks(image_), at::kFloat);
    at::sum_out(change_, chunks_, 0);
  }

  Change tried() {
    gpu::project(layer_, proposal_, batch_);
    check_kernels();
    project_image();
    gpu::sum_up(layer_, batch_, projection_.data_ptr<double>(), change_.data_ptr<float>(),
                trial_.data_ptr<double>(), partial_.data_ptr<double>(), results_.data_ptr<double>());
    check_kernels();
    const at::Tensor results = results_.to(at::kCPU);
    const double* const values = results.data_ptr<double>();
    return {values[0], values[1], values[3], static_cast<std::int64_t>(values[2])};
  }

  void check_kernels() const {
    if (const char* const why = gpu::failure())
      throw PluginError(OCTAVO_DEVICE_LOST, "[" + work_.layer() + "] a kernel of learned rounding: " + why);
  }

  const Rule& rule_;
  float error_weight_;
  at::Tensor left_, right_;  // 16 bits [rows, q], [cols, q]
  Band band_;                // the whole layer
  at::Tensor left_squares_, right_squares_;
  at::Tensor gradient_;                  // 16 bits [rows, cols]; the errors while measuring
  at::Tensor distance_, offset_;         // 16 bits [rows, cols]
  at::Tensor mean_, square_;             // 16 bits and f32 [rows, cols], for rules with moments
  at::Tensor elements_, counts_, sums_;  // of the batch: lists; [2, rows]: linear and error
  at::Tensor image_;                     // 16 bits [rows, q]: D V (E V while measuring)
  at::Tensor change_;                    // f32 [q, q]: U^T D V
  at::Tensor chunks_;                    // f32 [n, q, q]: its parts, of one chunk of rows each
  at::Tensor projection_, trial_;        // f64 [q, q]: P now, and after the batch
  at::Tensor partial_, results_;
  gpu::Layer layer_{};
  gpu::Batch batch_{};
  gpu::Proposal proposal_{};
  const Work& work_;
};

}  // namespace

std::unique_ptr<StepEngine> make_gpu_engine(const Work& work, GridTile& tile, const Subspace& subspace,
                                            const ProjectedSettings& settings, const Rule& rule) {
  if (!work.device().is_cuda() || subspace.right.size(1) > kMostWidth) return nullptr;
  const auto direction = rule.on_gpu(1);
  if (!direction) return nullptr;
  return std::make_unique<GpuEngine>(work, tile, subspace, settings, rule, direction->moments);
}

}  // namespace octavo::descent

#endif
