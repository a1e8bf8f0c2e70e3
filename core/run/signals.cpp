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
constexpr std::array<int, 3> kSignals = {SIGINT, SIGTERM, SIGHUP};
std::array<struct sigaction, kSignals.size()> previous{};

extern "C" void on_signal(int signal) {
  int expected = 0;
  if (received_signal.compare_exchange_strong(expected, signal)) return;
  for (const char* path = watched.data(); *path != '\0'; path += std::strlen(path) + 1) {
    if (unlink(path) != 0) rmdir(path);
  }
  _exit(signal == SIGINT ? 130 : 143);
}

}  // namespace

StopSignals::StopSignals() {
  received_signal = 0;
  watched[0] = '\0';
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &previous[i]);
}

StopSignals::~StopSignals() {
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &previous[i], nullptr);
  watched[0] = '\0';
}

void StopSignals::watch(const std::vector<std::string>& paths) {
  std::string list;
  for (const std::string& path : paths) {
    if (!path.empty()) list += path + '\0';
  }
  list += '\0';
  if (list.size() > kMaxPaths) return;
  watched[0] = '\0';  // a handler in between sees an empty list, then the whole one
  std::memcpy(watched.data() + 1, list.data() + 1, list.size() - 1);
  watched[0] = list[0];
}

int StopSignals::received() { return received_signal; }

void StopSignals::check() {
  const int signal = received();
  if (signal == 0) return;
  throw Error(signal == SIGINT ? ErrorCode::interrupted : ErrorCode::terminated,
              "[convert] stopped on request; nothing was left behind");
}

}  // namespace octavo::run
