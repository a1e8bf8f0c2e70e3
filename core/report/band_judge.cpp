#include "report/band_judge.hpp"

#include "reference/scales.hpp"

#include <octavo/grid.hpp>
#include <octavo/tensor.hpp>

namespace octavo::report {
namespace {

// Room for a part in host memory.
void place(octavo_tensor& part, std::vector<std::byte>& bytes) {
  bytes.resize(stored::view_bytes(part));
  part.data = bytes.data();
}

// A tile of the band with room for its parts in host memory.
octavo_tile host_tile(const octavo_layer& layer, const octavo_grid& grid, int64_t begin, int64_t count,
                      Parts& parts) {
  octavo_tile tile = stored::tile_of(layer, grid, begin, count, grid.cols);
  place(tile.codes, parts.codes);
  for (uint32_t i = 0; i < grid.scale_levels; ++i) place(tile.scales[i], parts.scales[i]);
  if (tile.zero_points.rank != 0) place(tile.zero_points, parts.zero_points);
  return tile;
}

// Judges one band on one lane.
class BandJudge {
 public:
  BandJudge(const JudgedLayer& judged, const JudgedInputs& inputs, int64_t begin, int64_t count,
            JudgeWorker& worker)
      : judged_(judged),
        grid_(judged.stored.grid),
        inputs_(inputs),
        begin_(begin),
        count_(count),
        worker_(worker) {
    layer_.struct_size = sizeof layer_;
    layer_.dtype = OCTAVO_F32;
    layer_.name = judged.stored.name.c_str();
    layer_.key = judged.reference.name().c_str();
    layer_.rows = judged.stored.rows;
    layer_.cols = judged.stored.cols;
  }

  BandVerdict judge() {
    weights_ = judged_.reference.read(lane(), worker_.reference, begin_, count_);
    const octavo_tensor x = upload(inputs_.reference, worker_.x);
    const bool is_smoothed = &inputs_.reference != &inputs_.stored;
    const octavo_tensor x_stored = is_smoothed ? upload(inputs_.stored, worker_.x_stored) : x;
    x_ = x;
    y_ = product(weights_, worker_.y);
    BandVerdict verdict;
    read_stored_parts();
    x_ = x_stored;
    verdict.stored = errors_of(worker_.stored.tile, &verdict.signal);
    x_ = x;
    quantize_nearest();
    verdict.is_nearest = !is_smoothed && same_parts();
    verdict.nearest = verdict.is_nearest ? verdict.stored : errors_of(worker_.nearest.tile, nullptr);
    return verdict;
  }

 private:
  stored::BandLane& lane() { return worker_.lane; }

  octavo_tensor upload(const InputRows& rows, stored::LaneBuffer& buffer) {
    auto* values = const_cast<float*>(rows.values.data());  // views are of memory that may be written
    return buffer.upload(lane(), tensor_view(values, OCTAVO_F32, {rows.samples, rows.cols}));
  }

  octavo_tensor outputs(stored::LaneBuffer& buffer) {
    return buffer.reserve(lane(), tensor_view(nullptr, OCTAVO_F32, {inputs_.reference.samples, count_}));
  }

  octavo_tensor product(const octavo_tensor& weights, stored::LaneBuffer& buffer) {
    const octavo_tensor y = outputs(buffer);
    lane().multiply(x_, weights, y);
    return y;
  }

  octavo_tensor integer_product(const octavo_tile& tile) {
    octavo_matmul_int8 call{};
    call.struct_size = sizeof call;
    call.compute_dtype = OCTAVO_F32;
    call.grid = &grid_;
    call.x = x_;
    call.codes = tile.codes;
    call.scales = tile.scales[0];
    call.y = outputs(worker_.y_both);
    lane().run("matmul_int8", [&](auto& operations, auto* raw, auto* error) {
      return operations.matmul_int8(raw, &call, error);
    });
    return call.y;
  }

  octavo_tensor dequantized(const octavo_tile& tile) {
    octavo_tensor values =
        worker_.weights.reserve(lane(), tensor_view(nullptr, OCTAVO_F32, {count_, grid_.cols}));
    lane().dequantize(tile, values);
    return values;
  }

  double squares(const octavo_tensor& a, const octavo_tensor& b, double* signal = nullptr) {
    const octavo_error_sums sums = lane().error_sums(a, b);
    if (signal != nullptr) *signal = sums.signal_sum;
    return sums.error_sum;
  }

  OutputErrors errors_of(const octavo_tile& tile, double* signal) {
    OutputErrors errors;
    const octavo_tensor y_weights = product(dequantized(tile), worker_.y_weights);
    errors.weight = squares(y_, y_weights, signal);
    if (!judged_.has_w8a8) return errors;
    const octavo_tensor y_both = integer_product(tile);
    errors.activation = squares(y_weights, y_both);
    errors.both = squares(y_, y_both);
    return errors;
  }

  void read_stored_parts() {
    Parts& parts = worker_.stored;
    octavo_tile tile = host_tile(layer_, grid_, begin_, count_, parts);
    stored::read_stored(judged_.file, judged_.stored, tile);
    tile.codes = parts.lane_codes.upload(lane(), tile.codes);
    for (uint32_t i = 0; i < grid_.scale_levels; ++i)
      tile.scales[i] = parts.lane_scales[i].upload(lane(), tile.scales[i]);
    tile.zero_points = parts.lane_zero_points.upload(lane(), tile.zero_points);
    parts.tile = tile;
  }

  void quantize_nearest() {
    Parts& parts = worker_.nearest;
    octavo_tile tile = host_tile(layer_, grid_, begin_, count_, parts);
    tile.source = weights_;
    tile.absmax = judged_.absmax;
    if (!lane().on_host()) {
      tile.codes = parts.lane_codes.reserve(lane(), tile.codes);
      for (uint32_t i = 0; i < grid_.scale_levels; ++i)
        tile.scales[i] = parts.lane_scales[i].reserve(lane(), tile.scales[i]);
      if (tile.zero_points.data != nullptr)
        tile.zero_points = parts.lane_zero_points.reserve(lane(), tile.zero_points);
    }
    lane().quantize_nearest(tile);
    if (needs_layer_absmax(grid_)) write_layer_scale(tile);
    parts.tile = tile;
  }

  // The one scale of a layer is nobody's tile's: quantize_nearest leaves it to whoever knows the absmax.
  void write_layer_scale(octavo_tile& tile) {
    for (uint32_t i = 0; i < grid_.scale_levels; ++i) {
      if (grid_.scales[i].granularity != OCTAVO_PER_TENSOR) continue;
      std::byte* scale = worker_.nearest.scales[i].data();
      reference::store_layer_scale(grid_, i, judged_.absmax, scale);
      tile.scales[i] =
          worker_.nearest.lane_scales[i].upload(lane(), tensor_view(scale, grid_.scales[i].dtype, {1, 1}));
    }
  }

  // On a device the parts are not looked at: computing twice is cheaper than fetching them.
  bool same_parts() {
    if (!lane().on_host()) return false;
    const Parts& a = worker_.stored;
    const Parts& b = worker_.nearest;
    return a.codes == b.codes && a.scales[0] == b.scales[0] && a.scales[1] == b.scales[1] &&
           a.zero_points == b.zero_points;
  }

  const JudgedLayer& judged_;
  const octavo_grid& grid_;
  const JudgedInputs inputs_;
  const int64_t begin_, count_;
  JudgeWorker& worker_;
  octavo_layer layer_{};
  octavo_tensor weights_{}, x_{}, y_{};
};

}  // namespace

BandVerdict judge_band(const JudgedLayer& layer, const JudgedInputs& inputs, int64_t begin, int64_t count,
                       JudgeWorker& worker) {
  return BandJudge(layer, inputs, begin, count, worker).judge();
}

}  // namespace octavo::report
