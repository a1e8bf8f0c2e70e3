// The inputs of one group in memory, as optimizers are given them.
#pragma once

#include "calibration/calibration.hpp"

#include <octavo/abi/optimizer.h>

#include <boost/align/aligned_allocator.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace octavo::calibration {

// Statistics that the file does not give are those of the kept rows, if these were recorded: the mean of each
// column, summed in f64 in the order of the rows, and its largest magnitude.
class Samples {
 public:
  // Reads the kept rows, if the group has any. Throws as Calibration::read does.
  Samples(const Calibration& calibration, const InputGroup& group);

  // Views of this object: samples F32 or BF16 [rows, cols], mean and channel_max f32 [cols]; data is NULL
  // where nothing is known.
  const octavo_inputs& view() const { return view_; }
  const std::vector<float>& mean() const { return mean_; }  // empty: not known

  // Bytes that an object for this group takes.
  static uint64_t bytes_of(const InputGroup& group);

 private:
  void widen_halves();
  void add_statistics();

  std::vector<std::byte, boost::alignment::aligned_allocator<std::byte, 64>> rows_;
  uint32_t dtype_ = OCTAVO_F32;
  int64_t count_ = 0;
  int64_t cols_ = 0;
  std::vector<float> mean_;
  std::vector<float> channel_max_;
  octavo_inputs view_{};
};

}  // namespace octavo::calibration
