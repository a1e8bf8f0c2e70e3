// The values of one tensor or one quantized layer, band by band of whole rows, as f32 in the layer's own
// basis.
#pragma once

#include "checkpoint/reader.hpp"
#include "stored/band_lane.hpp"
#include "stored/survey.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace octavo::stored {

// Rows of a band: about a million values, and a multiple of `multiple`.
int64_t band_rows(int64_t cols, int64_t multiple = 1);

// What one worker needs to read bands; reused from band to band. Must not outlive the lane.
struct BandBuffers {
  std::vector<std::byte> source, scales[2], zero_points;  // host
  std::vector<float> scaled;                              // host
  LaneBuffer lane_scaled, lane_source, lane_scales[2], lane_zero_points, lane_values;
  octavo_cast_result cast_result{};  // written by the lane until it has finished
};

// Reads the codes, scales and zero points of rows [tile.row_begin, + the codes' rows) of a layer into the
// views of `tile`, which are in host memory and have the grid's dtypes. Throws Error bad_input where a part
// is missing or has another shape than its format says.
void read_stored(const checkpoint::Checkpoint& file, const Layer& layer, octavo_tile& tile);

// The factors that a layer's format stores because its codes are those of W diag(factors), f32 [cols]; empty
// where there are none. Throws Error bad_input for factors that are not finite or 0.
std::vector<float> read_factors(const checkpoint::Checkpoint& file, const Layer& layer);

// What multiplies values that are read: columns and rows, f32; empty: 1.
struct Scaling {
  std::vector<float> columns = {};
  std::vector<float> rows = {};

  bool empty() const { return columns.empty() && rows.empty(); }
  void apply(octavo_tensor& values, int64_t row_begin) const;  // f32 in host memory
};

// Refers to the checkpoint and the layer, which outlive it. read() may be called from any thread, with
// buffers and a lane of the thread's own.
class BandSource {
 public:
  // A float tensor of any rank, as rows x last dimension.
  BandSource(const checkpoint::Checkpoint& file, const checkpoint::TensorRef& tensor);
  BandSource(const checkpoint::Checkpoint& file, const Layer& layer);

  // The values are multiplied by `scaling`, which outlives the source.
  void scale_by(const Scaling& scaling) { scaling_ = &scaling; }

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  int64_t row_multiple() const { return layer_ == nullptr ? 1 : layer_->grid.row_multiple; }
  uint64_t bytes() const;           // as stored, companions included
  std::string stored_as() const;    // id of the format, or the dtype
  const std::string& name() const;  // of the weight tensor
  // "" if the values can be read band by band, else why not.
  std::string unreadable() const;

  // Rows [row_begin, row_begin + count), count a multiple of row_multiple() unless it reaches the end.
  // Returns a view [count, cols] in the lane's memory, valid until the buffers are used again, once the lane
  // has finished.
  octavo_tensor read(BandLane& lane, BandBuffers& buffers, int64_t row_begin, int64_t count) const;

 private:
  octavo_tensor read_unscaled(BandLane& lane, BandBuffers& buffers, int64_t row_begin, int64_t count) const;
  octavo_tensor read_float(BandLane& lane, BandBuffers& buffers, int64_t row_begin, int64_t count) const;
  octavo_tensor read_codes(BandLane& lane, BandBuffers& buffers, int64_t row_begin, int64_t count) const;
  octavo_tile host_tile(BandBuffers& buffers, int64_t row_begin, int64_t count) const;

  const checkpoint::Checkpoint& file_;
  const checkpoint::TensorRef* tensor_ = nullptr;  // the weight
  const Layer* layer_ = nullptr;
  octavo_layer boundary_layer_{};
  Scaling stored_scaling_;  // undoes the factors that the format stored
  const Scaling* scaling_ = nullptr;
  int64_t rows_ = 0;
  int64_t cols_ = 0;
};

}  // namespace octavo::stored
