// Work that only saves time.
#pragma once

#include <spdlog/spdlog.h>

#include <exception>

namespace octavo {

// Where it fails, what needs it will meet the reason, if that lasts, and handles it there.
template <typename Work>
void try_to(Work work) {
  try {
    work();
  } catch (const std::exception& error) {
    spdlog::debug("{}", error.what());
  }
}

}  // namespace octavo
