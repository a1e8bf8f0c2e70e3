#include "feedback/samples.hpp"

#include "feedback/lane_steps.hpp"

#include <octavo/incoherent.hpp>
#include <octavo/tensor.hpp>

#include <algorithm>
#include <vector>

namespace octavo::feedback {
namespace {

// Rows first, first + 4, first + 8, ...
octavo_tensor every_fourth(const octavo_tensor& samples, std::int64_t first) {
  octavo_tensor part = rows_of(samples, first, (samples.shape[0] - first + 3) / 4);
  part.row_stride = 4 * samples.row_stride;
  return part;
}

// One row of samples, finite, as f32 in host memory.
void read_row(const octavo_tensor& samples, std::int64_t row, float* target) {
  const std::int64_t cols = samples.shape[1];
  const auto convert = [&](auto from_bits) {
    const auto* bits = row_of<std::uint16_t>(samples, row);
    std::transform(bits, bits + cols, target, from_bits);
  };
  if (samples.dtype == OCTAVO_BF16) {
    convert(from_bf16);
  } else if (samples.dtype == OCTAVO_F16) {
    convert(from_f16);
  } else {
    std::copy_n(row_of<float>(samples, row), cols, target);
  }
}

// An input's way to the incoherent basis: to_basis takes weights, whose rows it rotates as well.
void rotate(const std::vector<float>& signs, float* row) {
  for (std::size_t i = 0; i < signs.size(); ++i) row[i] *= signs[i];
  hadamard(row, static_cast<std::int64_t>(signs.size()));
}

// The first row in which something is not finite, or -1.
std::int64_t first_wrong_row(octavo_lane& lane, const octavo_tensor& samples) {
  octavo_absmax_result found{};
  found.struct_size = sizeof found;
  issue(lane, &octavo_operations::absmax, static_cast<const octavo_grid*>(nullptr), &samples, 0u, &found);
  wait_for(lane);
  return found.nonfinite_count == 0 ? -1 : found.nonfinite_first / samples.shape[1];
}

}  // namespace

Samples::Samples(octavo_lane& lane, const octavo_inputs& inputs, const octavo_grid& grid) {
  const octavo_tensor& samples = inputs.samples;
  if (samples.data == nullptr || samples.rank != 2 || samples.shape[0] < kFewestSamples) {
    refusal_ = "fewer than " + std::to_string(kFewestSamples) + " samples of its inputs are known";
    return;
  }
  LaneMatrix uploaded;
  const octavo_tensor on_lane = bring(lane, samples, uploaded);
  if (const std::int64_t row = first_wrong_row(lane, on_lane); row >= 0) {
    refusal_ = "sample " + std::to_string(row) + " of its inputs is not finite";
    return;
  }
  count_ = samples.shape[0];
  fitting_ = count_ - count_ / 4;
  rotated_ = LaneMatrix(lane, OCTAVO_F32, count_, grid.cols);
  if (grid.basis == OCTAVO_BASIS_INCOHERENT)
    rotate_on_host(lane, samples, grid);
  else
    rotate_on_lane(lane, on_lane, grid);
}

void Samples::keep_held_out(octavo_lane& lane) {
  const octavo_tensor from = held_out();
  LaneMatrix kept(lane, OCTAVO_F32, from.shape[0], from.shape[1]);
  copy_bytes(lane, kept.view().data, lane.memory, from.data, lane.memory,
             static_cast<std::uint64_t>(from.shape[0] * from.shape[1]) * sizeof(float));
  wait_for(lane);
  rotated_ = std::move(kept);
  count_ -= fitting_;
  fitting_ = 0;
}

// Packed, in the lane's memory: the samples themselves where they are there already.
octavo_tensor Samples::bring(octavo_lane& lane, const octavo_tensor& samples, LaneMatrix& uploaded) {
  if (!on_device(lane)) return samples;
  uploaded = LaneMatrix(lane, samples.dtype, samples.shape[0], samples.shape[1]);
  upload(lane, samples.data, uploaded.view());
  return uploaded.view();
}

void Samples::rotate_on_lane(octavo_lane& lane, const octavo_tensor& samples, const octavo_grid& grid) {
  std::int64_t next = 0;
  for (std::int64_t first = 0; first < 4; ++first) {  // the last of these are held out
    const octavo_tensor part = every_fourth(samples, first);
    octavo_tensor target = rows_of(rotated_.view(), next, part.shape[0]);
    issue(lane, &octavo_operations::to_basis, &grid, &part, &target);
    next += part.shape[0];
  }
}

void Samples::rotate_on_host(octavo_lane& lane, const octavo_tensor& samples, const octavo_grid& grid) {
  const std::int64_t width = grid.cols;
  const std::vector<float> signs = incoherent_signs(*lane.host, grid.basis_seed, kColumnSigns, width);
  std::vector<float> ordered(static_cast<std::size_t>(count_ * width), 0.0f);
  float* target = ordered.data();
  for (std::int64_t first = 0; first < 4; ++first) {
    for (std::int64_t row = first; row < count_; row += 4, target += width) {
      read_row(samples, row, target);
      rotate(signs, target);
    }
  }
  upload(lane, ordered.data(), rotated_.view());
}

}  // namespace octavo::feedback
