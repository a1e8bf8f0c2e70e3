#include "run/activation_scale.hpp"

#include "calibration/samples.hpp"
#include "plan/activation_scales.hpp"
#include "plan/tile_shape.hpp"

#include <octavo/tensor.hpp>

#include <algorithm>
#include <cstring>
#include <functional>
#include <span>

namespace octavo::run {
namespace {

using ReadInputs = std::function<void(int64_t begin, int64_t count, std::span<std::byte> bytes)>;

// Takes the rows through the lane, a slot's memory at a time.
class InputsAbsmax {
 public:
  InputsAbsmax(const plan::PlannedLayer& layer, const calibration::Calibration& calibration,
               plugin::Lane& lane, Slot& slot)
      : layer_(layer), calibration_(calibration), lane_(lane), slot_(slot) {}

  float find() {
    const bool is_smoothed = layer_.origin.columns != nullptr && !layer_.origin.columns->values.empty();
    return is_smoothed ? of_smoothed_inputs() : of_inputs();
  }

 private:
  float of_smoothed_inputs() {
    const calibration::Samples samples(calibration_, *layer_.inputs, layer_.origin.columns->values);
    const octavo_tensor& rows = samples.view().samples;
    if (rows.data == nullptr)
      return *std::max_element(samples.channel_max().begin(), samples.channel_max().end());
    const uint64_t row_bytes = static_cast<uint64_t>(rows.shape[1]) * sizeof(float);
    return of_rows(rows.shape[0], OCTAVO_F32, [&](int64_t begin, int64_t, std::span<std::byte> bytes) {
      const auto* from = static_cast<const std::byte*>(rows.data);
      std::memcpy(bytes.data(), from + static_cast<uint64_t>(begin) * row_bytes, bytes.size());
    });
  }

  float of_inputs() {
    const calibration::InputGroup& group = *layer_.inputs;
    return of_rows(static_cast<int64_t>(group.rows.size()), group.contents.samples->info.dtype,
                   [&](int64_t begin, int64_t count, std::span<std::byte> bytes) {
                     calibration_.read(group, begin, count, bytes);
                   });
  }

  float of_rows(int64_t rows, uint32_t dtype, const ReadInputs& read) {
    const uint64_t row_bytes = static_cast<uint64_t>(layer_.layer.cols) * octavo::bytes_of(dtype);
    const auto height = static_cast<int64_t>(std::max<uint64_t>(plan::kTileBytes / row_bytes, 1));
    float absmax = 0;
    for (int64_t begin = 0; begin < rows; begin += height) {
      const int64_t count = std::min(height, rows - begin);
      const uint64_t bytes = static_cast<uint64_t>(count) * row_bytes;
      read(begin, count, slot_.host(bytes).first(bytes));
      slot_.copy_in(bytes);
      absmax = std::max(absmax, of_view(slot_.view(0, dtype, count, layer_.layer.cols)));
    }
    return absmax;
  }

  float of_view(const octavo_tensor& values) {
    octavo_absmax_result found{};
    found.struct_size = sizeof found;
    lane_.run("absmax", [&](const octavo_operations& operations, octavo_lane* lane, octavo_error* error) {
      return operations.absmax(lane, &layer_.grid, &values, 0, &found, error);
    });
    lane_.record(slot_.number());
    lane_.wait(slot_.number());
    return found.absmax;
  }

  const plan::PlannedLayer& layer_;
  const calibration::Calibration& calibration_;
  plugin::Lane& lane_;
  Slot& slot_;
};

}  // namespace

float activation_scale(const plan::PlannedLayer& layer, const calibration::Calibration& calibration,
                       plugin::Lane& lane, Slot& slot) {
  return plan::activation_scale(InputsAbsmax(layer, calibration, lane, slot).find());
}

}  // namespace octavo::run
