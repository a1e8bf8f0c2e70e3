// Calibration inputs of a layer in the basis of its grid, split into those that make the Hessian and those
// that are kept out of it to judge the result.
#pragma once

#include <octavo/abi/grid.h>
#include <octavo/abi/optimizer.h>
#include <octavo/lane.hpp>

#include <cstdint>
#include <string>

namespace octavo::feedback {

// Every fourth row is held out. Fewer rows than this judge nothing.
inline constexpr std::int64_t kFewestSamples = 16;

class Samples {
 public:
  // Brings the rows of inputs.samples (packed f32, bf16 or f16 [samples, cols] in host memory) to the grid's
  // basis, in which every fourth row comes last. Where they are of no
  // use, refusal() says why and there are no rows.
  Samples(octavo_lane& lane, const octavo_inputs& inputs, const octavo_grid& grid);

  const std::string& refusal() const { return refusal_; }
  // f32 [rows, grid.cols] in the lane's memory.
  octavo_tensor fitting() const { return rows_of(rotated_.view(), 0, fitting_); }
  octavo_tensor held_out() const { return rows_of(rotated_.view(), fitting_, count_ - fitting_); }
  octavo_tensor all() const { return rotated_.view(); }
  std::int64_t count() const { return count_; }
  // Gives back the rows that are fitted to.
  void keep_held_out(octavo_lane& lane);

 private:
  static octavo_tensor bring(octavo_lane& lane, const octavo_tensor& samples, LaneMatrix& uploaded);
  void rotate_on_lane(octavo_lane& lane, const octavo_tensor& samples, const octavo_grid& grid);
  void rotate_on_host(octavo_lane& lane, const octavo_tensor& samples, const octavo_grid& grid);

  std::string refusal_;
  std::int64_t count_ = 0;
  std::int64_t fitting_ = 0;
  LaneMatrix rotated_;  // the fitting rows first
};

}  // namespace octavo::feedback
