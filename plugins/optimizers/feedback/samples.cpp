#include "feedback/samples.hpp"

#include "feedback/lane_steps.hpp"

#include <octavo/incoherent.hpp>
#include <octavo/tensor.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace octavo::feedback {
namespace {

bool is_held_out(std::int64_t row) { return row % 4 == 3; }

// One row of samples as f32; false where something in it is not finite.
bool read_row(const octavo_tensor& samples, std::int64_t row, float* target) {
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
  return std::all_of(target, target + cols, [](float value) { return std::isfinite(value); });
}

// An input's way to the incoherent basis: to_basis takes weights, whose rows it rotates as well.
void rotate(const std::vector<float>& signs, float* row) {
  for (std::size_t i = 0; i < signs.size(); ++i) row[i] *= signs[i];
  hadamard(row, static_cast<std::int64_t>(signs.size()));
}

}  // namespace

Samples::Samples(octavo_lane& lane, const octavo_inputs& inputs, const octavo_grid& grid) {
  const octavo_tensor& samples = inputs.samples;
  if (samples.data == nullptr || samples.rank != 2 || samples.shape[0] < kFewestSamples) {
    refusal_ = "fewer than " + std::to_string(kFewestSamples) + " samples of its inputs are known";
    return;
  }
  const std::int64_t count = samples.shape[0], width = grid.cols;
  const bool incoherent = grid.basis == OCTAVO_BASIS_INCOHERENT;
  const std::vector<float> signs =
      incoherent ? incoherent_signs(*lane.host, grid.basis_seed, kColumnSigns, width) : std::vector<float>();
  std::vector<float> ordered(static_cast<std::size_t>(count * width), 0.0f);
  const std::int64_t held = count / 4;
  std::int64_t next_fitting = 0, next_held = count - held;
  for (std::int64_t row = 0; row < count; ++row) {
    float* target = ordered.data() + (is_held_out(row) ? next_held++ : next_fitting++) * width;
    if (!read_row(samples, row, target)) {
      refusal_ = "sample " + std::to_string(row) + " of its inputs is not finite";
      return;
    }
    if (incoherent) rotate(signs, target);
  }
  rotated_ = LaneMatrix(lane, OCTAVO_F32, count, width);
  upload(lane, ordered.data(), rotated_.view());
  if (!incoherent)
    issue(lane, &octavo_operations::to_basis, &grid, static_cast<const octavo_tensor*>(&rotated_.view()),
          &rotated_.view());
  count_ = count;
  fitting_ = count - held;
}

}  // namespace octavo::feedback
