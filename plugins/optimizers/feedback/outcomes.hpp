// What has become of Cholesky factors, asked once for all: each question would wait for the device.
#pragma once

#include <ATen/ops/zeros.h>

#include <cstdint>

namespace octavo::feedback {

class Outcomes {
 public:
  Outcomes(std::int64_t count, const at::Device& device)
      : codes_(at::zeros({count}, at::TensorOptions(at::kInt).device(device))) {}

  // `code` as LibTorch's linalg_cholesky_ex gives it.
  void add(const at::Tensor& code) { codes_.select(0, added_++).copy_(code); }
  bool are_good() const { return codes_.cpu().eq(0).all().item<bool>(); }

 private:
  at::Tensor codes_;
  std::int64_t added_ = 0;
};

}  // namespace octavo::feedback
