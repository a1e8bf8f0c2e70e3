// What has become of Cholesky factors, asked once for all: each question would wait for the device.
#pragma once

#include <ATen/ops/full.h>

#include <cstdint>

namespace octavo::feedback {

class Outcomes {
 public:
  // Of a factor for each `step` of `size` columns.
  Outcomes(std::int64_t size, std::int64_t step, const at::Device& device)
      : codes_(at::full({(size + step - 1) / step}, kUnknown, at::TensorOptions(at::kInt).device(device))) {}

  // `code` as LibTorch's linalg_cholesky_ex gives it.
  void add(const at::Tensor& code) { codes_.select(0, added_++).copy_(code); }
  // All of them: false while one is missing.
  bool are_good() const { return codes_.cpu().eq(0).all().item<bool>(); }

 private:
  static constexpr int kUnknown = -1;
  at::Tensor codes_;
  std::int64_t added_ = 0;
};

}  // namespace octavo::feedback
