// The backend that this run of the tests is about, one lane of it, and tensors that exist twice: in host
// memory for the reference and in the lane's memory for the backend.
//
// OCTAVO_TEST_BACKEND is the plugin's path (default: the CPU backend of this build). A backend that cannot
// run here, or an OCTAVO_SIMD that this machine does not have, ends the program with 77, which ctest shows as
// skipped.
#pragma once

#include <octavo/abi/backend.h>

#include <cstdint>
#include <string>
#include <vector>

namespace octavo::test {

// A matrix (or vector, cols == 0) of raw bytes with some room between its rows.
struct HostTensor {
  std::uint32_t dtype = OCTAVO_F32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;
  std::uint32_t rank = 2;
  std::vector<std::uint8_t> bytes;

  template <typename T>
  T* row(std::int64_t r) {
    return reinterpret_cast<T*>(bytes.data()) + r * stride;
  }
  octavo_tensor view();
};

// `room` elements between rows. Every byte starts as 0xa5, so that what is never written shows.
HostTensor matrix(std::uint32_t dtype, std::int64_t rows, std::int64_t cols, std::int64_t room = 0);
HostTensor vector(std::uint32_t dtype, std::int64_t count);

class BackendUnderTest {
 public:
  static BackendUnderTest& get();
  ~BackendUnderTest();

  octavo_lane* lane() { return &lane_; }
  // The backend's operations, with the reference where it has none (host memory only).
  const octavo_operations& operations() const { return operations_; }
  const octavo_backend_api& api() const { return *api_; }
  void* self() const { return self_; }
  // 1 if the backend itself has the operation.
  bool has(octavo_operation operation) const { return has_[operation]; }
  // Waits for what was issued, as a host would before it looks at results.
  void finish();

 private:
  BackendUnderTest();

  const octavo_backend_api* api_ = nullptr;
  void* self_ = nullptr;
  octavo_lane lane_{};
  octavo_operations operations_{};
  bool has_[OCTAVO_OP_COUNT] = {};
};

// A copy of a HostTensor in the lane's memory.
class LaneTensor {
 public:
  explicit LaneTensor(const HostTensor& tensor);
  LaneTensor(const LaneTensor&) = delete;
  LaneTensor& operator=(const LaneTensor&) = delete;
  ~LaneTensor();

  octavo_tensor view() const { return view_; }
  // All bytes, room included.
  std::vector<std::uint8_t> bytes() const;

 private:
  BackendUnderTest& backend_;
  octavo_tensor view_{};
  std::size_t size_ = 0;
};

// A tile of these, with one level of scales.
octavo_tile tile_with(const octavo_grid& grid, const octavo_tensor& source, const octavo_tensor& codes,
                      const octavo_tensor& scales);

// Fails the running test case with the callee's text unless `status` is OCTAVO_OK.
void require_ok(octavo_status status, const octavo_error& error);

// Where two byte strings differ first, as text; "" if they do not.
std::string difference(const std::vector<std::uint8_t>& found, const std::vector<std::uint8_t>& expected);

}  // namespace octavo::test
