// The host's functions that a plugin calls (sinks, storage, rows) run below the plugin's frames. What they
// throw is kept, the plugin is told OCTAVO_FAILED, and the exception goes on when the plugin has returned.
#pragma once

#include "plugin/fault.hpp"
#include "plugin/instance.hpp"

#include <exception>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace octavo::plugin {

// The first exception of the host's own functions during one call of a plugin. Any thread.
class Carried {
 public:
  // `error`: where the plugin reads what was thrown, or nullptr.
  template <typename Body>
  octavo_status run(octavo_error* error, Body&& body) noexcept {
    try {
      body();
      return OCTAVO_OK;
    } catch (const std::exception& thrown) {
      keep();
      return report(error, OCTAVO_FAILED, thrown.what());
    } catch (...) {
      keep();
      return report(error, OCTAVO_FAILED, "the host failed");
    }
  }
  void rethrow() const {
    const std::lock_guard lock(mutex_);
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void keep() {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
  }

  mutable std::mutex mutex_;
  std::exception_ptr failure_;
};

// call(), but an exception that was carried past the plugin comes before whatever the plugin answers: also
// before OCTAVO_OK of one that did not look.
template <typename Body>
void call_carrying(const std::string& who, std::string_view operation, const Carried& carried, Body&& body) {
  try {
    call(who, operation, std::forward<Body>(body));
  } catch (...) {
    carried.rethrow();
    throw;
  }
  carried.rethrow();
}

}  // namespace octavo::plugin
