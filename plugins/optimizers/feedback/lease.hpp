// Bytes that count against --max-ram while this lives.
#pragma once

#include <octavo/plugin.hpp>

#include <cstdint>
#include <utility>

namespace octavo::feedback {

class Lease {
 public:
  Lease() = default;
  // Waits until they fit. Throws PluginError OCTAVO_CANCELLED when the run stops. `host` may be nullptr: no
  // limit.
  Lease(const octavo_host* host, std::int64_t bytes)
      : host_(host), bytes_(static_cast<std::uint64_t>(bytes)) {
    if (host_ == nullptr) return;
    octavo_error error = empty_error();
    check(host_->lease_bytes(host_->context, bytes_, &error), error);
  }
  Lease(Lease&& other) noexcept
      : host_(std::exchange(other.host_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Lease& operator=(Lease&& other) noexcept {
    std::swap(host_, other.host_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Lease() {
    if (host_ != nullptr) host_->return_bytes(host_->context, bytes_);
  }

  // Gives part of them back early.
  void shrink_to(std::int64_t bytes) {
    const auto kept = static_cast<std::uint64_t>(bytes);
    if (host_ == nullptr || kept >= bytes_) return;
    host_->return_bytes(host_->context, bytes_ - kept);
    bytes_ = kept;
  }

 private:
  const octavo_host* host_ = nullptr;
  std::uint64_t bytes_ = 0;
};

}  // namespace octavo::feedback
