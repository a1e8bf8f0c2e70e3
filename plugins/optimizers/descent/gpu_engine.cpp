// An iteration makes the gradient U P V^T by products of 16-bit matrices, moves all weights and lists the
// steps, and computes the P of the listed steps, which are few, from their rows of V. It goes by panels of
// rows whose gradient stays in the GPU's second-level cache: the next panel's takes its place before it has
// gone to memory. U and V are rounded to 16 bits first, so that P means the same in every product; P itself
// is kept in f64. One answer of five numbers a batch goes to the host, which decides.
#include "gpu_engine.hpp"

#include "gpu_steps.hpp"
#include "passes.hpp"

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
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace octavo::descent {
namespace {

constexpr std::int64_t kMostWidth = 4096;
constexpr std::int64_t kLeastCapacity = 64;
constexpr std::int64_t kResultNumbers = sizeof(gpu::Results) / sizeof(double);
// Of gradient: half of an H200's cache, in rows of whole tiles.
constexpr std::int64_t kPanelBytes = 24 << 20;
constexpr std::int64_t kPanelMultiple = 128;

std::uint16_t* halves(const at::Tensor& tensor) { return static_cast<std::uint16_t*>(tensor.data_ptr()); }

// [n, q] f32 -> [n, q rounded up] in 16 bits.
at::Tensor narrowed(const at::Tensor& basis) {
  const std::int64_t missing = rounded_width(basis.size(1)) - basis.size(1);
  const at::Tensor halves = basis.to(at::kHalf).contiguous();
  return missing > 0 ? at::constant_pad_nd(halves, {0, missing}) : halves;
}

std::int64_t panel_rows(std::int64_t rows, std::int64_t cols) {
  const std::int64_t fit = kPanelBytes / (cols * static_cast<std::int64_t>(sizeof(std::uint16_t)));
  return std::min(rows, std::max(fit / kPanelMultiple, std::int64_t{1}) * kPanelMultiple);
}

// The norm is one pass over 16 bits.
at::Tensor row_squares(const at::Tensor& basis) {
  return at::linalg_vector_norm(basis, 2, 1, /*keepdim=*/false, at::kFloat).square_();
}

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
        right_squares_(row_squares(right_).to(at::kHalf)),
        work_(work) {
    const std::int64_t rows = tile.rows(), cols = tile.cols(), width = right_.size(1);
    const auto options = at::TensorOptions().device(work.device());
    const auto half = options.dtype(at::kHalf);
    const auto wide = options.dtype(at::kDouble);
    panel_ = at::empty({panel_rows(rows, cols), cols}, half);
    distance_ = at::empty({rows, cols}, options.dtype(at::kChar));
    offset_ = at::zeros({rows, cols}, half);
    if (moments) {
      mean_ = at::zeros({rows, cols}, options.dtype(at::kChar));
      root_ = at::zeros({rows, cols}, options.dtype(at::kByte));
    }
    const std::int64_t capacity = std::min(cols, std::max(kLeastCapacity, cols / 4));
    elements_ = at::empty({rows, capacity}, options.dtype(at::kInt));
    counts_ = at::empty({rows}, options.dtype(at::kInt));
    sums_ = at::empty({2, rows}, wide);
    image_ = at::empty({rows, width}, half);
    parts_ = at::empty({std::gcd(rows, gpu::kMostParts), width, width}, options.dtype(at::kFloat));
    for (State* state : {&now_, &next_})
      *state = {at::empty({width, width}, wide), at::empty({width, width}, half)};
    partial_ = at::empty({width, kResultNumbers}, wide);
    arrived_ = at::zeros({1}, options.dtype(at::kInt));
    results_ = at::empty({kResultNumbers}, at::TensorOptions().dtype(at::kDouble).pinned_memory(true));
    fill_layer(tile);
    batch_ = {capacity,
              elements_.data_ptr<int>(),
              counts_.data_ptr<int>(),
              sums_.data_ptr<double>(),
              sums_.data_ptr<double>() + rows,
              halves(image_)};
  }

  SquaredNorms measure() override {
    for_panels([&](std::int64_t begin, const at::Tensor& errors) {
      gpu::residual(layer_, begin, errors.size(0), halves(errors), batch_.error);
      at::Tensor image = image_.narrow(0, begin, errors.size(0));
      at::mm_out(image, errors, right_);
    });
    check_kernels(work_);
    project_image();
    at::sum_out(now_.projection, parts_, 0, /*keepdim=*/false, at::kDouble);
    const double projected = now_.projection.square().sum().item<double>();
    scale_ = scale_for(projected);
    now_.halves.copy_(now_.projection.mul(1 / scale_));
    return {projected, sums_.select(0, 1).sum().item<double>()};
  }

  Change propose(std::int64_t iteration, double rate, double share, double projected) override {
    const gpu::Direction direction = *rule_.on_gpu(iteration);
    // U P V^T, P going to the side of which there is less.
    const bool wide = left_.size(0) < right_.size(0);
    const at::Tensor left = wide ? at::mm(left_, now_.halves) : left_;
    const at::Tensor right = wide ? right_.t() : at::mm(now_.halves, right_.t());
    gpu::Proposal proposal{
        0,     0,        halves(panel_), static_cast<float>(scale_), static_cast<float>(rate), error_weight_,
        share, iteration};
    for_panels([&](std::int64_t begin, at::Tensor gradient) {
      proposal.first_row = begin;
      proposal.rows = gradient.size(0);
      at::mm_out(gradient, left.narrow(0, begin, proposal.rows), right);
      gpu::propose(layer_, direction, proposal, batch_);
    });
    next_scale_ = scale_for(projected);
    return tried();
  }

  Change thin(std::int64_t iteration, double share) override {
    gpu::thin(layer_, batch_, iteration, share);
    return tried();
  }

  void accept() override {
    gpu::accept(layer_, batch_);
    check_kernels(work_);
    std::swap(now_, next_);
    scale_ = next_scale_;
  }

 private:
  void fill_layer(const GridTile& tile) {
    layer_ = layer_of(work_, band_);
    layer_.width = right_.size(1);
    layer_.steps = band_.steps.data_ptr<float>();
    layer_.least_code = tile.least_code();
    layer_.largest_code = tile.largest_code();
    layer_.distance = distance_.data_ptr<std::int8_t>();
    layer_.offset = halves(offset_);
    if (mean_.defined()) {
      layer_.mean = mean_.data_ptr<std::int8_t>();
      layer_.root = root_.data_ptr<std::uint8_t>();
    }
    layer_.right = halves(right_);
    layer_.left_squares = left_squares_.data_ptr<float>();
    layer_.right_squares = halves(right_squares_);
  }

  // body(first row, as many rows of the panel) for all rows.
  template <typename Body>
  void for_panels(const Body& body) const {
    for (std::int64_t begin = 0; begin < left_.size(0); begin += panel_.size(0))
      body(begin, panel_.narrow(0, 0, std::min(panel_.size(0), left_.size(0) - begin)));
  }

  // About the size of P's elements, a power of two.
  double scale_for(double projected) const {
    const double size = std::sqrt(projected) / static_cast<double>(right_.size(1));
    return size > 0 ? std::exp2(std::ilogb(size)) : 1;
  }

  // U^T image, by parts of the rows: the product alone has too few tiles for a GPU.
  void project_image() {
    const std::int64_t height = left_.size(0) / parts_.size(0);
    const auto in_parts = [&](const at::Tensor& matrix) {
      return matrix.view({parts_.size(0), height, matrix.size(1)});
    };
    at::bmm_out(parts_, in_parts(left_).transpose(1, 2), in_parts(image_), at::kFloat);
  }

  Change tried() {
    gpu::project(layer_, batch_);
    project_image();
    auto* const results = static_cast<gpu::Results*>(results_.data_ptr());
    gpu::sum_up(layer_, batch_,
                {now_.projection.data_ptr<double>(), parts_.data_ptr<float>(), parts_.size(0),
                 next_.projection.data_ptr<double>(), halves(next_.halves),
                 static_cast<float>(1 / next_scale_), static_cast<gpu::Results*>(partial_.data_ptr()),
                 static_cast<unsigned*>(arrived_.data_ptr()), results});
    check_kernels(work_);
    finish_torch(work_.device());
    const double linear = 2 * results->along + static_cast<double>(error_weight_) * results->cross;
    return {linear, results->error, results->projected, static_cast<std::int64_t>(results->steps)};
  }

  // P.
  struct State {
    at::Tensor projection;  // f64 [q, q]
    at::Tensor halves;      // 16 bits [q, q]: over a scale
  };

  const Rule& rule_;
  float error_weight_;
  at::Tensor left_, right_;  // 16 bits [rows, q], [cols, q]
  Band band_;                // the whole layer
  at::Tensor left_squares_, right_squares_;
  at::Tensor panel_;                     // 16 bits: gradient of some rows; their errors while measuring
  at::Tensor distance_;                  // i8 [rows, cols]
  at::Tensor offset_;                    // 16 bits [rows, cols]
  at::Tensor mean_, root_;               // i8, u8 [rows, cols], for rules with moments
  at::Tensor elements_, counts_, sums_;  // of the batch: lists; [2, rows]: cross and error
  at::Tensor image_;                     // 16 bits [rows, q]: D V (E V while measuring)
  at::Tensor parts_;                     // f32 [n, q, q]: U^T D V, of a part of the rows each
  State now_, next_;                     // and after the batch
  double scale_ = 1, next_scale_ = 1;    // of their halves
  at::Tensor partial_, arrived_, results_;
  gpu::Layer layer_{};
  gpu::Batch batch_{};
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
