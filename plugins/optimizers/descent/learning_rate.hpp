// Learning rates, in steps of the grid for each iteration, and when to stop.
//
// The three schedules, their tables and their limits are those of convert_to_quant. What they watch is the
// loss: the objective of the proposal as a share of nearest's, so that thresholds do not depend on a layer's
// scale.
#pragma once

#include <cstdint>

namespace octavo::descent {

enum class Schedule { adaptive, exponential, plateau };
enum class ThresholdMode { relative, absolute };
// What an improvement looks up in the table of the adaptive schedule: always its first row (simple_reset), or
// the row of the stall that it ended (no_reset).
enum class AdaptiveMode { simple_reset, no_reset };
enum class Stop { none, loss, rate, stall };

struct LearningRateSettings {
  Schedule schedule = Schedule::adaptive;
  double start = 8.077300000003e-3;
  double least = 1e-10;        // lower bound of every schedule
  double gamma = 0.99;         // exponential: factor of each iteration
  std::int64_t patience = 9;   // plateau: iterations without improvement before a cut
  double factor = 0.92;        // plateau: factor of a cut
  std::int64_t cooldown = 6;   // plateau: iterations after a cut in which nothing is counted
  double shape_influence = 1;  // plateau: 0: cuts are the same for every layer; 1: deeper for oblong ones
  double threshold = 0;        // smallest decrease of the loss that counts as an improvement
  ThresholdMode threshold_mode = ThresholdMode::relative;
  AdaptiveMode adaptive_mode = AdaptiveMode::simple_reset;
  double stop_loss = 1e-8;         // stop at or below this loss
  double stop_rate = 1e-10;        // stop at or below this rate
  std::int64_t stop_stall = 1000;  // stop after more iterations than this without improvement
};

// One layer's, or one row's, learning rate. A value.
class LearningRate {
 public:
  // The loss before the first iteration is 1, nearest's.
  LearningRate(const LearningRateSettings& settings, std::int64_t rows, std::int64_t cols);

  double rate() const { return rate_; }
  double best_loss() const { return best_; }

  // Sets the rate for the next iteration after one that reached `loss`. Returns whether that was an
  // improvement.
  bool observe(double loss);

  // Why no further iteration should follow. Looks at the lowest loss so far.
  Stop stop() const;

 private:
  bool improves(double loss) const;
  void follow_exponential();
  void follow_plateau();
  void follow_adaptive(bool improved, std::int64_t stall);

  LearningRateSettings settings_;
  double cut_;  // factor of a cut for this shape
  double rate_;
  double best_ = 1;
  std::int64_t worse_ = 0;    // iterations since the last improvement
  std::int64_t plateau_ = 0;  // the same since the last improvement or cut
  std::int64_t cooldown_ = 0;
};

const char* text_of(Stop stop);

}  // namespace octavo::descent
