// One layer while it is being converted: what its tiles wait for, and what they found.
#pragma once

#include "plan/plan.hpp"

#include <octavo/abi/backend.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

namespace octavo::run {

// What a layer became, judged on what is stored.
struct LayerResult {
  std::string name;
  std::string format;
  std::string optimizer;
  int64_t rows = 0;
  int64_t cols = 0;
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  double error_sum = 0;   // sum of (stored - source)^2
  double signal_sum = 0;  // sum of source^2
  float max_error = 0;
  int64_t zeroed = 0;        // non-finite values that became 0
  int64_t overflow = 0;      // values clamped to the stored dtype
  int64_t underflow = 0;     // non-zero values that became 0 in a cast
  int64_t floored_rows = 0;  // rows so small that the scale's floor rounds them to 0 or nearly
  int64_t rows_sent_back = 0;
  std::string note = {};

  // 10 log10(signal / error) in dB; infinity where nothing was lost.
  double sqnr_db() const;
};

// Thread safe.
class LayerRun {
 public:
  LayerRun(const plan::PlannedLayer& layer, size_t tiles);
  LayerRun(const LayerRun&) = delete;
  LayerRun& operator=(const LayerRun&) = delete;

  const plan::PlannedLayer& layer() const { return layer_; }

  // Absmax pieces: each reports once; wait_absmax returns the largest when all have. Returns false if
  // stopped.
  void add_absmax(const octavo_absmax_result& result);
  bool wait_absmax(std::stop_token stop, float& absmax);

  // What the optimizer prepared, made by the first lane that asks; the others wait for it. An exception of
  // `prepare` reaches the lane that asked.
  const plugin::Preparation& prepared(const std::function<plugin::Preparation()>& prepare);

  void store(size_t tile, const octavo_tile_result& result);
  // After the run; sums are added in the order of the tiles, so they do not depend on the lanes.
  LayerResult result() const;

 private:
  const plan::PlannedLayer& layer_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  size_t absmax_left_ = 0;
  float absmax_ = 0;
  std::once_flag prepared_;
  plugin::Preparation preparation_;
  std::vector<octavo_tile_result> results_;
};

}  // namespace octavo::run
