#include "work.hpp"

#include <octavo/lane.hpp>

#include <ATen/ops/empty.h>

#include <utility>

namespace octavo::descent {
namespace {

std::uint64_t bytes_of_view(const octavo_tensor& view) {
  return static_cast<std::uint64_t>(view.shape[0] * view.shape[1]) * bytes_of(view.dtype);
}

struct Loop {
  const Work* work;
  const std::function<void(std::int64_t)>* body;
};

// An octavo_error has no place in a task's status, so what a task throws is kept by its index, and the first
// one is thrown again.
octavo_status run_task(void* context, std::int64_t index, octavo_error* error) {
  const Loop& loop = *static_cast<const Loop*>(context);
  return detail::guard(error, [&] {
    loop.work->stop_if_cancelled();
    const TorchScope scope(loop.work->lane());
    (*loop.body)(index);
  });
}

}  // namespace

Work::Work(const Host& host, octavo_lane& lane, std::string layer)
    : host_(host), lane_(lane), layer_(std::move(layer)), device_(TorchScope(lane).device()) {}

at::Tensor Work::fetch(const octavo_tensor& view, double divisor) const {
  if (sees(view)) {
    wait_for(lane_);
    const at::Tensor there = as_tensor(view);
    at::Tensor copy = divisor == 1 ? there.clone() : there.div(divisor);
    finish_torch(device_);  // the caller may give the lane's memory back
    return copy;
  }
  at::Tensor copy =
      at::empty({view.shape[0], view.shape[1]}, at::TensorOptions().dtype(torch_dtype(view.dtype)));
  copy_bytes(lane_, copy.data_ptr(), OCTAVO_MEMORY_HOST, view.data, view.memory, bytes_of_view(view));
  wait_for(lane_);
  return divisor == 1 ? copy : copy.div_(divisor);
}

void Work::put(const at::Tensor& values, const octavo_tensor& view) const {
  if (sees(view)) {
    as_tensor(view).copy_(values);
    return;
  }
  copy_bytes(lane_, view.data, view.memory, values.data_ptr(), OCTAVO_MEMORY_HOST, bytes_of_view(view));
  wait_for(lane_);
}

void Work::for_each(std::int64_t count, const std::function<void(std::int64_t)>& body) const {
  const octavo_host& raw = *host_.raw();
  if (!device_.is_cpu() || raw.parallel == nullptr) {  // one stream of a GPU: threads would only take turns
    for (std::int64_t i = 0; i < count; ++i) {
      stop_if_cancelled();
      body(i);
    }
    return;
  }
  struct Tasks {
    Loop loop;
    std::vector<octavo_error> errors;
  } tasks{{this, &body}, std::vector<octavo_error>(static_cast<std::size_t>(count), empty_error())};
  const auto task = [](void* context, std::int64_t index) {
    auto& all = *static_cast<Tasks*>(context);
    return run_task(&all.loop, index, &all.errors[static_cast<std::size_t>(index)]);
  };
  octavo_error error = empty_error();
  const octavo_status status = raw.parallel(raw.context, count, task, &tasks, &error);
  if (status == OCTAVO_OK) return;
  for (const octavo_error& failed : tasks.errors) {
    if (failed.message[0] != '\0') throw PluginError(status, failed.message, failed.hint);
  }
  throw PluginError(status, error.message, error.hint);
}

void Work::stop_if_cancelled() const {
  if (host_.cancelled()) throw PluginError(OCTAVO_CANCELLED, layer_ + ": stopped");
}

void Work::debug(const std::string& text) const { host_.log(OCTAVO_LOG_DEBUG, layer_ + ": " + text); }

}  // namespace octavo::descent
