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

// Bytes under --max-ram, held as long as it lives.
class Lease {
 public:
  Lease(const Host& host, std::uint64_t bytes);
  ~Lease();
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

 private:
  Host host_;
  std::uint64_t bytes_;
};

}  // namespace octavo::descent
