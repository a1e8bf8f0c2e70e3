// SPDX-License-Identifier: Apache-2.0
// LibTorch in a plugin: views as tensors, on the lane's device. octavo_add_plugin(... TORCH) finds it.
//
// Include single headers (ATen/ops/<function>.h), never torch/torch.h: this one alone takes a compiler ten
// seconds. A plugin that uses it says so in its description: .links = OCTAVO_PLUGIN_LINKS.
#pragma once

#include <octavo/abi/backend.h>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>
#include <octavo/torch_environment.hpp>

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/util/Exception.h>

#include <dlfcn.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace octavo {

inline at::ScalarType torch_dtype(std::uint32_t dtype) {
  switch (dtype) {
    case OCTAVO_F64:
      return at::kDouble;
    case OCTAVO_F32:
      return at::kFloat;
    case OCTAVO_BF16:
      return at::kBFloat16;
    case OCTAVO_F16:
      return at::kHalf;
    case OCTAVO_I8:
      return at::kChar;
    case OCTAVO_U8:
      return at::kByte;
    case OCTAVO_I32:
      return at::kInt;
    case OCTAVO_I64:
      return at::kLong;
    default:
      throw PluginError(OCTAVO_UNSUPPORTED, "dtype " + std::to_string(dtype) + " is no tensor's in LibTorch");
  }
}

namespace detail {

// As the plugin is loaded; octavo's program has done it before.
inline const bool memory_is_shared = [] {
  set_torch_environment();
  return true;
}();

// libtorch_cuda.so beside the libtorch_cpu.so that is loaded; nothing happens where it is not. Its linear
// algebra is a library of its own, which LibTorch would load at the first call: fails if two threads make it.
inline bool load_torch_for_cuda() {
  static const bool loaded = [] {
    Dl_info info{};
    if (dladdr(reinterpret_cast<const void*>(&at::get_num_threads), &info) == 0) return false;
    const std::string path = info.dli_fname;
    const std::string beside = path.substr(0, path.rfind('/') + 1);
    if (dlopen((beside + "libtorch_cuda.so").c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr) return false;
    dlopen((beside + "libtorch_cuda_linalg.so").c_str(), RTLD_NOW | RTLD_LOCAL);
    return c10::impl::hasDeviceGuardImpl(c10::DeviceType::CUDA);
  }();
  return loaded;
}

inline const c10::impl::DeviceGuardImplInterface& torch_cuda() {
  return *c10::impl::getDeviceGuardImpl(c10::DeviceType::CUDA);
}

// LibTorch's streams that a plugin works on. They are few, because LibTorch keeps handles and workspaces for
// each of them. A scope gets the one that the fewest others have; a scope inside of another keeps that one's.
class TorchStreams {
 public:
  static constexpr std::size_t kPerDevice = 6;

  static TorchStreams& instance() {
    static TorchStreams streams;
    return streams;
  }

  // The stream that the thread works on from now on, and in `before` the one to go back to.
  std::size_t enter(const at::Device& device, std::optional<c10::Stream>& before) {
    const std::lock_guard lock(mutex_);
    std::vector<Entry>& all = devices_[device.index()];
    while (all.size() < kPerDevice) all.push_back({torch_cuda().getStreamFromGlobalPool(device), 0});
    const c10::Stream current = torch_cuda().getStream(device);
    auto found =
        std::find_if(all.begin(), all.end(), [&](const Entry& one) { return one.stream == current; });
    if (found == all.end())
      found = std::min_element(all.begin(), all.end(),
                               [](const Entry& a, const Entry& b) { return a.scopes < b.scopes; });
    ++found->scopes;
    before = torch_cuda().exchangeStream(found->stream);
    return static_cast<std::size_t>(found - all.begin());
  }

  void leave(const at::Device& device, std::size_t number) {
    const std::lock_guard lock(mutex_);
    --devices_[device.index()][number].scopes;
  }

 private:
  struct Entry {
    c10::Stream stream;
    int scopes;  // that work on it
  };
  std::mutex mutex_;
  std::map<at::DeviceIndex, std::vector<Entry>> devices_;
};

}  // namespace detail

// Returns when LibTorch is done with everything the scope gave it on a device: before memory of a lane that
// it reads or writes is given back, or work on it is issued to the lane.
inline void finish_torch(const at::Device& device) {
  if (device.is_cuda()) detail::torch_cuda().synchronizeStream(detail::torch_cuda().getStream(device));
}

// The scope's stream on a device, a cudaStream_t: for kernels of a plugin's own between LibTorch's.
inline void* torch_stream(const at::Device& device) {
  return detail::torch_cuda().getStreamNativeHandle(detail::torch_cuda().getStream(device));
}

// While it lives, the calling thread may use LibTorch for work on a lane: without gradients, with one thread
// (lanes are what runs in parallel, and no result may depend on how many there are). On a GPU LibTorch works
// on a stream that no lane has: before it reads what was issued to the lane, or to LibTorch by another
// thread, wait for that; what LibTorch was given is done when the scope ends. A tensor of another scope must
// live until then: its memory would go to other work of that scope's stream at once.
class TorchScope {
 public:
  explicit TorchScope(const octavo_lane& lane) {
    at::set_num_threads(1);
    if (lane.memory != OCTAVO_MEMORY_DEVICE || !detail::load_torch_for_cuda()) return;
    device_ = at::Device(at::kCUDA, static_cast<at::DeviceIndex>(lane.device));
    stream_ = detail::TorchStreams::instance().enter(device_, before_);
  }

  ~TorchScope() {
    if (!before_) return;
    try {
      finish_torch(device_);
    } catch (...) {  // a device that is lost is found so by the next operation
    }
    detail::torch_cuda().exchangeStream(*before_);
    detail::TorchStreams::instance().leave(device_, stream_);
  }
  TorchScope(const TorchScope&) = delete;
  TorchScope& operator=(const TorchScope&) = delete;

  // Where tensors of this lane go: its device, or the CPU where this LibTorch has no part for it.
  at::Device device() const { return device_; }

 private:
  c10::InferenceMode inference_{true};
  at::Device device_{at::kCPU};
  std::optional<c10::Stream> before_;  // on a GPU: the thread's stream outside of the scope
  std::size_t stream_ = 0;
};

// Loads LibTorch's part for a device, and what its factors of matrices need: most of a second that the first
// scope would wait for otherwise. What Optimizer::warm_up of a plugin calls.
inline void warm_up_torch(std::uint32_t memory, std::int32_t device) {
  if (memory != OCTAVO_MEMORY_DEVICE || !detail::load_torch_for_cuda()) return;
  const c10::InferenceMode inference;
  const at::Device where(at::kCUDA, static_cast<at::DeviceIndex>(device));
  at::linalg_cholesky_ex(at::eye(2, at::TensorOptions(at::kFloat).device(where)));
  finish_torch(where);
}

// Runs work(), and gives what LibTorch throws the status that the host acts on: without memory it tries
// smaller tiles or another backend, a lost device it replaces.
template <typename Work>
auto torch_call(Work work) -> decltype(work()) {
  try {
    return work();
  } catch (const c10::OutOfMemoryError& error) {
    throw PluginError(OCTAVO_NO_MEMORY, error.what_without_backtrace());
  } catch (const c10::AcceleratorError& error) {
    throw PluginError(OCTAVO_DEVICE_LOST, error.what_without_backtrace());
  } catch (const c10::Error& error) {
    // cuBLAS and cuSOLVER say so in their own way when they find no memory for their handles.
    const std::string what = error.what_without_backtrace();
    if (what.find("STATUS_ALLOC_FAILED") == std::string::npos) throw;
    throw PluginError(OCTAVO_NO_MEMORY, what);
  }
}

// The memory of a view as a tensor; both must not outlive it. A view of device memory needs a scope whose
// device() is that device.
inline at::Tensor as_tensor(const octavo_tensor& view) {
  std::vector<std::int64_t> shape(view.shape, view.shape + view.rank), strides(view.rank, 1);
  for (std::size_t i = view.rank; i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  if (view.rank == 2) strides[0] = view.row_stride;
  const at::Device device = view.memory == OCTAVO_MEMORY_DEVICE
                                ? at::Device(at::kCUDA, static_cast<at::DeviceIndex>(view.device))
                                : at::Device(at::kCPU);
  return at::from_blob(view.data, shape, strides,
                       at::TensorOptions().dtype(torch_dtype(view.dtype)).device(device));
}

// The memory of an F32 or F16 matrix whose rows are contiguous, as a view that must not outlive the tensor.
inline octavo_tensor view_of(const at::Tensor& matrix) {
  const bool is_half = matrix.scalar_type() == at::kHalf;
  if (matrix.dim() != 2 || (!is_half && matrix.scalar_type() != at::kFloat) || matrix.stride(1) != 1)
    throw PluginError(OCTAVO_BAD_ARGUMENT, "a matrix of floats with contiguous rows was expected");
  octavo_tensor view =
      tensor_view(matrix.data_ptr(), is_half ? OCTAVO_F16 : OCTAVO_F32, {matrix.size(0), matrix.size(1)});
  view.row_stride = matrix.stride(0);
  if (matrix.device().is_cuda()) {
    view.memory = OCTAVO_MEMORY_DEVICE;
    view.device = std::int32_t{matrix.device().index()};
  }
  return view;
}

}  // namespace octavo
