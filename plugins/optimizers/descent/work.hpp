// What the engines need of the run: its lane, threads that are idle, a log, and whether to stop.
#pragma once

#include <octavo/plugin.hpp>
#include <octavo/torch.hpp>

#include <cstdint>
#include <functional>
#include <string>

namespace octavo::descent {

class Work {
 public:
  Work(const Host& host, octavo_lane& lane, std::string layer);

  octavo_lane& lane() const { return lane_; }
  at::Device device() const { return device_; }
  const Host& host() const { return host_; }
  const std::string& layer() const { return layer_; }

  // A copy of what the lane has in a view, once the lane is done with it, on device(), over `divisor`.
  at::Tensor fetch(const octavo_tensor& view, double divisor = 1) const;
  // The other way. The lane may use the view once finish_torch() or a read of a tensor has waited.
  void put(const at::Tensor& values, const octavo_tensor& view) const;
  // The CPU's LibTorch cannot see device memory.
  bool sees(const octavo_tensor& view) const {
    return view.memory != OCTAVO_MEMORY_DEVICE || device_.is_cuda();
  }

  // body(0) ... body(count - 1), over idle lanes where the tensors are on the CPU. Each may use LibTorch.
  // What they write must not depend on their order. Looks at cancellation before each.
  void for_each(std::int64_t count, const std::function<void(std::int64_t)>& body) const;

  // Throws PluginError OCTAVO_CANCELLED if the run should stop.
  void stop_if_cancelled() const;

  void debug(const std::string& text) const;

 private:
  Host host_;
  octavo_lane& lane_;
  std::string layer_;
  at::Device device_;
};

}  // namespace octavo::descent
