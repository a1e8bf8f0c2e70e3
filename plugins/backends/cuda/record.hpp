// What a launch reports to the host, and where its blocks gather it.
#pragma once

namespace octavo::cuda {

constexpr unsigned kMaxBlocks = 8192;
constexpr unsigned long long kNoIndex = ~0ull;

// In pinned host memory, written by the launch; complete when the launch is.
struct Record {
  double error_sum;
  double signal_sum;
  long long nonfinite;
  long long first;  // index of the first value that is not finite, or -1
  long long overflow;
  long long underflow;
  long long floored;
  float max_error;
  float absmax;
};

// In device memory, one for each lane: its launches come one after the other. All zero but for `first`, which
// is kNoIndex, whenever no launch is running.
struct Ledger {
  unsigned long long nonfinite;
  unsigned long long first;
  unsigned long long overflow;
  unsigned long long underflow;
  unsigned long long floored;
  unsigned max_error;  // bits of a float >= 0, which order as integers do
  unsigned absmax;
  unsigned blocks_done;
  double errors[kMaxBlocks];
  double signals[kMaxBlocks];
};

}  // namespace octavo::cuda
