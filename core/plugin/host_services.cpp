// The static functions are called by plugins through octavo_host: nothing may be thrown out of them.
#include "plugin/host_services.hpp"

#include "base/philox.hpp"
#include "plugin/fault.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <string>
#include <utility>

namespace octavo::plugin {
namespace {

spdlog::level::level_enum log_level(std::uint32_t level) {
  switch (level) {
    case OCTAVO_LOG_DEBUG:
      return spdlog::level::debug;
    case OCTAVO_LOG_INFO:
      return spdlog::level::info;
    case OCTAVO_LOG_WARNING:
      return spdlog::level::warn;
    default:
      return spdlog::level::err;
  }
}

// Control characters must not reach a terminal; a message may carry names from a file.
std::string without_controls(const char* message) {
  std::string text = message == nullptr ? "" : message;
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return text;
}

thread_local std::optional<std::uint64_t> place_of_this_thread;

HostServices& self(void* context) { return *static_cast<HostServices*>(context); }

}  // namespace

HostServices::HostServices(const octavo_operations& reference, std::uint64_t max_ram)
    : host_{sizeof(octavo_host), OCTAVO_ABI_MAJOR, OCTAVO_ABI_MINOR, this,   log,       is_cancelled,
            lease_bytes,         return_bytes,     parallel,         random, &reference},
      max_ram_(max_ram) {}

void HostServices::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  changed_.notify_all();
}

// One that alone exceeds the limit is granted when nothing else is held: the limit delays work, never stops
// it.
bool HostServices::fits(std::uint64_t bytes) const {
  return max_ram_ == 0 || leased_ == 0 || bytes == 0 || (leased_ <= max_ram_ && bytes <= max_ram_ - leased_);
}

bool HostServices::may_lease(std::uint64_t bytes, std::optional<std::uint64_t> place) const {
  if (max_ram_ == 0 || !place) return fits(bytes);
  for (const auto& [open, is_settled] : open_turns_) {
    if (open >= *place) break;
    if (!is_settled) return false;
  }
  const bool is_first = !open_turns_.empty() && open_turns_.begin()->first == *place;
  return is_first || fits(bytes);
}

bool HostServices::lease(std::uint64_t bytes) {
  std::unique_lock lock(mutex_);
  const std::optional<std::uint64_t> place = place_of_this_thread;
  changed_.wait(lock, [&] { return cancelled() || may_lease(bytes, place); });
  if (cancelled()) return false;
  leased_ += bytes;
  most_leased_ = std::max(most_leased_, leased_);
  return true;
}

bool HostServices::try_lease(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (cancelled() || !fits(bytes)) return false;
  leased_ += bytes;
  most_leased_ = std::max(most_leased_, leased_);
  return true;
}

void HostServices::lease_at_once(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  leased_ += bytes;
  most_leased_ = std::max(most_leased_, leased_);
}

bool HostServices::can_lease(std::uint64_t bytes) const {
  const std::lock_guard lock(mutex_);
  return !cancelled() && fits(bytes);
}

void HostServices::open_turn(std::uint64_t place) {
  const std::lock_guard lock(mutex_);
  open_turns_.emplace(place, false);
}

void HostServices::settle_turn(std::uint64_t place) {
  const std::lock_guard lock(mutex_);
  open_turns_[place] = true;
  changed_.notify_all();
}

void HostServices::close_turn(std::uint64_t place) {
  const std::lock_guard lock(mutex_);
  open_turns_.erase(place);
  changed_.notify_all();
}

HostServices::Turn::Turn(std::optional<std::uint64_t> place)
    : before_(std::exchange(place_of_this_thread, place)) {}

HostServices::Turn::~Turn() { place_of_this_thread = before_; }

void HostServices::give_back(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  leased_ -= std::min(bytes, leased_);
  changed_.notify_all();
}

std::uint64_t HostServices::leased() const {
  const std::lock_guard lock(mutex_);
  return leased_;
}

std::uint64_t HostServices::most_leased() const {
  const std::lock_guard lock(mutex_);
  return most_leased_;
}

octavo_status HostServices::run_parallel(std::int64_t count, ParallelTask task, void* context) const {
  if (parallel_) return parallel_(count, task, context);
  octavo_status result = OCTAVO_OK;
  for (std::int64_t i = 0; i < count; ++i) {
    const octavo_status status = task(context, i);
    if (result == OCTAVO_OK) result = status;
  }
  return result;
}

void HostServices::log(void*, std::uint32_t level, const char* message) {
  try {
    spdlog::log(log_level(level), "{}", without_controls(message));
  } catch (...) {  // a message that cannot be shown is no reason to fail
  }
}

std::int32_t HostServices::is_cancelled(void* context) { return self(context).cancelled() ? 1 : 0; }

octavo_status HostServices::lease_bytes(void* context, std::uint64_t bytes, octavo_error* error) {
  try {
    if (self(context).lease(bytes)) return OCTAVO_OK;
    return report(error, OCTAVO_CANCELLED, "[lease_bytes] the run was cancelled");
  } catch (...) {
    return report(error, OCTAVO_FAILED, "[lease_bytes] the host failed");
  }
}

void HostServices::return_bytes(void* context, std::uint64_t bytes) {
  try {
    self(context).give_back(bytes);
  } catch (...) {  // a mutex that cannot be locked; nothing is left to tell
  }
}

octavo_status HostServices::parallel(void* context, std::int64_t count, ParallelTask task, void* task_context,
                                     octavo_error* error) {
  try {
    const octavo_status status = self(context).run_parallel(count, task, task_context);
    if (status == OCTAVO_OK) return OCTAVO_OK;
    const std::string text = fmt::format("[parallel] a task returned status {}", static_cast<int>(status));
    return report(error, status, text.c_str());
  } catch (const std::exception& failure) {
    return report(error, OCTAVO_FAILED, failure.what());
  } catch (...) {
    return report(error, OCTAVO_FAILED, "[parallel] the host failed");
  }
}

void HostServices::random(void* context, std::uint64_t seed, const char* name, std::uint64_t first,
                          std::uint64_t count, std::uint32_t* words) {
  if (words == nullptr) return;
  if (name == nullptr) {  // there is no status to say it with; zeros are at least the same every time
    log(context, OCTAVO_LOG_ERROR, "[random] the name of a stream is a null pointer");
    std::fill_n(words, count, 0u);
    return;
  }
  random_words(seed, name, first, {words, count});
}

}  // namespace octavo::plugin
