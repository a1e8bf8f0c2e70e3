#include "run/idle_lanes.hpp"

#include <algorithm>
#include <utility>

namespace octavo::run {
namespace {

thread_local bool within_a_task = false;

octavo_status run_task(plugin::ParallelTask task, void* context, int64_t index) noexcept {
  const bool before = std::exchange(within_a_task, true);
  octavo_status status = OCTAVO_FAILED;
  try {
    status = task(context, index);
  } catch (...) {  // nothing may cross; a plugin that throws has no better word than that it failed
  }
  within_a_task = before;
  return status;
}

}  // namespace

bool IdleLanes::wait(const std::stop_token& stop, const std::function<bool()>& ready) {
  std::unique_lock lock(mutex_);
  while (!ready()) {
    if (stop.stop_requested()) return false;
    if (Loop* loop = open_loop()) {
      run_one(*loop, lock);
      continue;
    }
    changed_.wait(lock, stop, [&] { return ready() || open_loop() != nullptr; });
  }
  return true;
}

void IdleLanes::changed() {
  const std::lock_guard lock(mutex_);
  changed_.notify_all();
}

IdleLanes::Loop* IdleLanes::open_loop() {
  const auto found =
      std::find_if(loops_.begin(), loops_.end(), [](const Loop* loop) { return loop->next < loop->count; });
  return found == loops_.end() ? nullptr : *found;
}

void IdleLanes::run_one(Loop& loop, std::unique_lock<std::mutex>& lock) {
  const int64_t index = loop.next++;
  ++loop.running;
  lock.unlock();
  const octavo_status status = run_task(loop.task, loop.context, index);
  lock.lock();
  if (status != OCTAVO_OK && (loop.status == OCTAVO_OK || index < loop.failed_at)) {
    loop.status = status;
    loop.failed_at = index;
  }
  if (--loop.running == 0 && loop.next >= loop.count) changed_.notify_all();
}

octavo_status IdleLanes::parallel(int64_t count, plugin::ParallelTask task, void* context) {
  if (within_a_task) {
    octavo_status first = OCTAVO_OK;
    for (int64_t i = 0; i < count; ++i) {
      const octavo_status status = run_task(task, context, i);
      if (first == OCTAVO_OK) first = status;
    }
    return first;
  }
  Loop loop{.count = count, .task = task, .context = context};
  std::unique_lock lock(mutex_);
  loops_.push_back(&loop);
  changed_.notify_all();
  while (loop.next < loop.count) run_one(loop, lock);
  changed_.wait(lock, [&] { return loop.running == 0; });
  std::erase(loops_, &loop);
  return loop.status;
}

}  // namespace octavo::run
