#include "run/signals.hpp"

#include "base/error.hpp"

#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>

namespace octavo::run {
namespace {

// A handler may touch lock-free atomics and fixed memory only. Paths stand one after the other, each with its
// terminating zero; an empty one ends the list.
constexpr size_t kMaxPaths = size_t{1} << 20;
std::atomic<int> received_signal{0};
std::array<char, kMaxPaths> watched{};
std::atomic<bool> is_watched{false};  // the list is whole
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);
constexpr std::array<int, 3> kSignals = {SIGINT, SIGTERM, SIGHUP};
std::array<struct sigaction, kSignals.size()> previous{};

extern "C" void on_signal(int signal) {
  int expected = 0;
  if (received_signal.compare_exchange_strong(expected, signal)) return;
  if (is_watched) {
    for (const char* path = watched.data(); *path != '\0'; path += std::strlen(path) + 1) {
      if (unlink(path) != 0) rmdir(path);
    }
  }
  _exit(signal == SIGINT ? 130 : 143);
}

}  // namespace

StopSignals::StopSignals() {
  received_signal = 0;
  is_watched = false;
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &previous[i]);
}

StopSignals::~StopSignals() {
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &previous[i], nullptr);
  is_watched = false;
}

void StopSignals::watch(const std::vector<std::string>& paths) {
  is_watched = false;  // a handler in between removes nothing
  std::string list;
  for (const std::string& path : paths) {
    if (!path.empty()) list += path + '\0';
  }
  list += '\0';
  if (list.size() > kMaxPaths) return;
  std::memcpy(watched.data(), list.data(), list.size());
  is_watched = true;
}

int StopSignals::received() { return received_signal; }

void StopSignals::check(std::string_view left) {
  const int signal = received();
  if (signal == 0) return;
  throw Error(signal == SIGINT ? ErrorCode::interrupted : ErrorCode::terminated,
              fmt::format("[convert] stopped on request; {}", left));
}

}  // namespace octavo::run
