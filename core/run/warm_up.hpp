// What an optimizer loads for a device (LibTorch takes most of a second), loaded while the lanes are opened
// and begin to work.
#pragma once

#include "plan/plan.hpp"
#include "run/device.hpp"

#include <future>

namespace octavo::run {

class WarmUp {
 public:
  // Begins, where an optimizer is to work on a device with inputs or whole layers, which is where they load
  // anything. The destructor waits for it.
  WarmUp(const plan::Plan& plan, const ChosenDevice& device);

 private:
  std::future<void> done_;
};

}  // namespace octavo::run
