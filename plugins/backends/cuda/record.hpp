// What a launch reports to the host.
#pragma once

namespace octavo::cuda {

// The most blocks of a launch that reports.
constexpr unsigned kMaxBlocks = 8192;

// What a block of a launch has found.
struct Record {
  double error_sum = 0.0;
  double signal_sum = 0.0;
  long long first = -1;  // index of the first value that is not finite, or -1
  float max_error = 0.0f;
  float absmax = 0.0f;
  unsigned nonfinite = 0;
  unsigned overflow = 0;
  unsigned underflow = 0;
  unsigned floored = 0;
};

}  // namespace octavo::cuda
