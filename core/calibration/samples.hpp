// The inputs of one group in memory, as optimizers are given them.
#pragma once

#include "base/large_block.hpp"
#include "calibration/calibration.hpp"

#include <octavo/abi/optimizer.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace octavo::calibration {

// Calls body(i) for i in [0, count), by whichever threads there are, and passes on the exception of the
// smallest i.
using Loop = std::function<void(int64_t count, const std::function<void(int64_t i)>& body)>;
void in_turn(int64_t count, const std::function<void(int64_t i)>& body);

// Statistics that the file does not give are those of the kept rows, if these were recorded: the mean of each
// column, summed in f64 in the order of the rows, and its largest magnitude.
class Samples {
 public:
  // Reads the kept rows, if the group has any. `divisors`: of the columns, as SmoothQuant divides inputs, all
  // 1 if empty. Throws as Calibration::read does.
  Samples(const Calibration& calibration, const InputGroup& group, std::span<const float> divisors = {},
          const Loop& loop = in_turn);

  // Views of this object: samples F32 or BF16 [rows, cols], mean and channel_max f32 [cols]; data is NULL
  // where nothing is known.
  const octavo_inputs& view() const { return view_; }
  const std::vector<float>& mean() const { return mean_; }  // empty: not known
  // f32 [cols], of |x|; empty: not known.
  const std::vector<float>& channel_max() const { return channel_max_; }

  // Bytes that an object for this group takes; rows that are divided are kept in F32.
  static uint64_t bytes_of(const InputGroup& group, bool is_divided = false);

 private:
  void read(const Calibration& calibration, const InputGroup& group, const Loop& loop);
  void widen(uint32_t stored);
  void divide(std::span<const float> divisors);
  void add_statistics(const Loop& loop);

  LargeBlock rows_;
  uint32_t dtype_ = OCTAVO_F32;
  int64_t count_ = 0;
  int64_t cols_ = 0;
  std::vector<float> mean_;
  std::vector<float> channel_max_;
  octavo_inputs view_{};
};

}  // namespace octavo::calibration
