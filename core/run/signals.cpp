#include "run/signals.hpp"

#include "base/error.hpp"

#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>

namespace octavo::run {
namespace {

// A handler may touch lock-free atomics and fixed memory only.
constexpr size_t kMaxPath = 4096;
std::atomic<int> received_signal{0};
std::array<char, kMaxPath> temp{};
constexpr std::array<int, 3> kSignals = {SIGINT, SIGTERM, SIGHUP};
std::array<struct sigaction, kSignals.size()> previous{};

extern "C" void on_signal(int signal) {
  int expected = 0;
  if (received_signal.compare_exchange_strong(expected, signal)) return;
  if (temp[0] != '\0') unlink(temp.data());  // a folder of shards stays behind; doctor lists it
  _exit(signal == SIGINT ? 130 : 143);
}

}  // namespace

StopSignals::StopSignals() {
  received_signal = 0;
  temp[0] = '\0';
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &previous[i]);
}

StopSignals::~StopSignals() {
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &previous[i], nullptr);
  temp[0] = '\0';
}

void StopSignals::watch(const std::string& temp_path) {
  if (temp_path.size() >= kMaxPath) return;
  std::memcpy(temp.data() + 1, temp_path.c_str() + (temp_path.empty() ? 0 : 1), temp_path.size());
  temp[0] = temp_path.empty() ? '\0' : temp_path[0];  // last: a handler sees all of it or nothing
}

int StopSignals::received() { return received_signal; }

void StopSignals::check() {
  const int signal = received();
  if (signal == 0) return;
  throw Error(signal == SIGINT ? ErrorCode::interrupted : ErrorCode::terminated,
              "[convert] stopped on request; nothing was left behind");
}

}  // namespace octavo::run
