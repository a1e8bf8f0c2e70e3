// One layer while it is being converted: what its tiles wait for, and what they found.
#pragma once

#include "plan/plan.hpp"

#include <octavo/abi/backend.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
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
  bool stored_as_nearest = false;  // the optimizer preferred nearest for the whole layer
  std::string nearest_reason = {};
  bool bias_corrected = false;
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

  // Absmax pieces: each reports once. True once all have, with the largest.
  void add_absmax(const octavo_absmax_result& result);
  bool has_absmax(float& absmax) const;

  // What the optimizer said when it had prepared the layer.
  void set_verdict(octavo_verdict verdict, const std::string& reason);

  // True for the layer's last tile.
  bool store(size_t tile, const octavo_tile_result& result);
  // After the run; sums are added in the order of the tiles, so they do not depend on the lanes.
  LayerResult result() const;

 private:
  const plan::PlannedLayer& layer_;
  mutable std::mutex mutex_;
  size_t absmax_left_ = 0;
  float absmax_ = 0;
  octavo_verdict verdict_ = OCTAVO_VERDICT_GO;
  std::string reason_;
  size_t tiles_left_ = 0;
  std::vector<octavo_tile_result> results_;
};

}  // namespace octavo::run
