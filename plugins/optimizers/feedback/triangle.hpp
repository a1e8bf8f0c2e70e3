// A factor in a lane's memory, and what the columns of a band that are done feed to those left of them.
#pragma once

#include "feedback/factor.hpp"

#include <octavo/lane.hpp>

#include <cstdint>
#include <span>

namespace octavo::feedback {

struct Triangle {
  octavo_tensor lower;            // as Factor has it
  std::span<const float> pivots;  // D
  octavo_tensor inputs{};         // of an implicit factor
  octavo_tensor gains{};

  bool is_implicit() const { return inputs.data != nullptr; }
  // Columns that take what is right of them from one product; where an implicit factor was made in such
  // groups, those.
  std::int64_t group(const octavo_lane& lane, std::int64_t block) const;
  // Part of L, which of an implicit factor lies within one group.
  octavo_tensor part(std::int64_t row, std::int64_t rows, std::int64_t col, std::int64_t cols) const;
};

// The factor's matrices where the lane works: themselves, or copies where they lie elsewhere.
class FactorOnLane {
 public:
  FactorOnLane(octavo_lane& lane, const Factor& factor);
  const Triangle& triangle() const { return triangle_; }

 private:
  OnLane lower_, inputs_, gains_;
  Triangle triangle_;
};

// Follows a band from its last group of columns to its first.
class Feed {
 public:
  // `residual`: f32 [rows, cols], the lane's memory; read where columns are done.
  Feed(octavo_lane& lane, const Triangle& triangle, const octavo_tensor& residual);
  // Writes to `target` (f32 [rows, end - begin]) what all columns right of the group [begin, end) feed to it;
  // false where there are none.
  bool into(std::int64_t begin, std::int64_t end, const octavo_tensor& target);
  // The group is done.
  void take(std::int64_t begin, std::int64_t end);

 private:
  octavo_lane& lane_;
  const Triangle& triangle_;
  octavo_tensor residual_;
  LaneMatrix sums_;  // implicit: residual X^T of what is done, f32 [rows, samples]
};

}  // namespace octavo::feedback
