// ^C and its kin: the first asks the run to stop at the next tile, the second ends the process at once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace octavo::run {

// Takes over SIGINT, SIGTERM and SIGHUP while it lives. One at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // What a second signal removes, in this order, before it ends the process: files, and folders that are
  // empty then. It replaces what was watched before; a list of more than 1 MiB is not watched.
  static void watch(const std::vector<std::string>& paths);
  // The signal that came, 0 if none.
  static int received();
  // Throws Error interrupted or terminated if a signal came. `left`: what is there then.
  static void check(std::string_view left = "nothing was left behind");
};

}  // namespace octavo::run
