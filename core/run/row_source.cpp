#include "run/row_source.hpp"

#include "base/aligned.hpp"
#include "plugin/instance.hpp"
#include "reference/operations.hpp"
#include "stored/band_lane.hpp"
#include "stored/band_source.hpp"

#include <octavo/tensor.hpp>

#include <algorithm>
#include <cstring>
#include <vector>

namespace octavo::run {
namespace {

octavo_layer described(const stored::Layer& stored) {
  octavo_layer layer{};
  layer.struct_size = sizeof layer;
  layer.dtype = OCTAVO_F32;
  layer.name = stored.name.c_str();
  layer.key = stored.find(OCTAVO_ROLE_CODES)->info.name.c_str();
  layer.rows = stored.rows;
  layer.cols = stored.cols;
  return layer;
}

// The rows of a band that an update changes; rows 0 if none.
struct Overlap {
  int64_t begin = 0;  // within the band
  int64_t rows = 0;
  int64_t from = 0;  // row of the update
};

Overlap overlap(const lora::Delta& delta, const Band& band) {
  const int64_t begin = std::max(delta.row_begin, band.begin);
  const int64_t end = std::min(delta.row_begin + delta.rows, band.begin + band.rows);
  if (begin >= end) return {};
  return {begin - band.begin, end - begin, delta.from + begin - delta.row_begin};
}

octavo_tensor rows_of_view(octavo_tensor view, int64_t begin, int64_t rows) {
  view.data = static_cast<std::byte*>(view.data) +
              static_cast<uint64_t>(begin * view.row_stride) * octavo::bytes_of(view.dtype);
  view.shape[0] = rows;
  return view;
}

octavo_tensor view_of(const lora::Matrix& matrix, int64_t begin, int64_t rows) {
  auto* data = const_cast<float*>(matrix.row(begin));  // only read
  return octavo::tensor_view(data, OCTAVO_F32, {rows, matrix.cols});
}

// Makes the rows in a lane's memory.
class LaneRows {
 public:
  LaneRows(const checkpoint::Checkpoint& source, const plan::RowOrigin& origin, const Band& band,
           plugin::Lane& lane, Slot& slot, uint64_t staging, octavo_cast_result& cast)
      : source_(source),
        origin_(origin),
        band_(band),
        lane_(lane),
        slot_(slot),
        host_(slot.host(0)),
        at_(staging),
        cast_(cast),
        target_(slot.view(0, OCTAVO_F32, band.rows, band.cols)) {}

  void make() {
    if (origin_.stored != nullptr) {
      dequantize();
    } else {
      read();
    }
    if (origin_.deltas == nullptr) return;
    for (const lora::Delta& delta : *origin_.deltas) merge(delta);
  }

 private:
  void dequantize() {
    const octavo_layer layer = described(*origin_.stored);
    const uint64_t begin = at_;
    const octavo_grid& grid = origin_.stored->grid;
    octavo_tile tile = stored::tile_of(layer, grid, band_.begin, band_.rows, grid.cols);
    stored::for_each_part(tile, [&](octavo_tensor& part) { part.data = host_.data() + place(part); });
    stored::read_stored(source_, *origin_.stored, tile);
    slot_.copy_in(begin, at_);
    stored::for_each_part(tile, [&](octavo_tensor& part) {
      const auto offset = static_cast<uint64_t>(static_cast<std::byte*>(part.data) - host_.data());
      part = slot_.view(offset, part.dtype, part.shape[0], part.shape[1]);
    });
    tile.slot = slot_.number();
    lane_.run("dequantize", [&](const octavo_operations& operations, octavo_lane* lane, octavo_error* error) {
      return operations.dequantize(lane, &tile, 1, &target_, error);
    });
  }

  void read() {
    const uint32_t dtype = origin_.tensor->info.dtype;
    const uint64_t row_bytes = static_cast<uint64_t>(band_.cols) * octavo::bytes_of(dtype);
    const uint64_t bytes = static_cast<uint64_t>(band_.rows) * row_bytes;
    const bool is_f32 = dtype == OCTAVO_F32;
    const uint64_t begin = is_f32 ? 0 : place(octavo::tensor_view(nullptr, dtype, {band_.rows, band_.cols}));
    source_.read(*origin_.tensor, static_cast<uint64_t>(band_.begin) * row_bytes,
                 host_.subspan(begin, bytes));
    slot_.copy_in(begin, begin + bytes);
    if (is_f32) return;
    const octavo_tensor raw = slot_.view(begin, dtype, band_.rows, band_.cols);
    cast_.struct_size = sizeof cast_;
    lane_.run("cast", [&](const octavo_operations& operations, octavo_lane* lane, octavo_error* error) {
      return operations.cast(lane, &raw, &target_, 0, &cast_, error);
    });
  }

  void merge(const lora::Delta& delta) {
    const Overlap part = overlap(delta, band_);
    if (part.rows == 0) return;
    const octavo_tensor up = in_lane(view_of(delta.adapter->up, part.from, part.rows));
    const octavo_tensor down = in_lane(view_of(delta.adapter->down, 0, delta.adapter->down.rows));
    octavo_tensor rows = rows_of_view(target_, part.begin, part.rows);
    lane_.run("merge_low_rank",
              [&](const octavo_operations& operations, octavo_lane* lane, octavo_error* error) {
                return operations.merge_low_rank(lane, &rows, &up, &down, delta.strength, &rows, error);
              });
  }

  // The factor itself where the lane works in host memory, else a copy on the device.
  octavo_tensor in_lane(const octavo_tensor& factor) {
    if (lane_.on_host()) return factor;
    const uint64_t offset = place(factor);
    const uint64_t bytes = stored::view_bytes(factor);
    std::memcpy(host_.data() + offset, factor.data, bytes);
    slot_.copy_in(offset, offset + bytes);
    return slot_.view(offset, factor.dtype, factor.shape[0], factor.shape[1]);
  }

  // Offset of room for what has this dtype and shape.
  uint64_t place(const octavo_tensor& view) {
    const uint64_t offset = at_;
    at_ += aligned(stored::view_bytes(view));
    return offset;
  }

  const checkpoint::Checkpoint& source_;
  const plan::RowOrigin& origin_;
  const Band& band_;
  plugin::Lane& lane_;
  Slot& slot_;
  std::span<std::byte> host_;
  uint64_t at_;  // end of what is staged
  octavo_cast_result& cast_;
  octavo_tensor target_;
};

void check(const plan::RowOrigin& origin, const char* operation, octavo_status status,
           const octavo_error& error) {
  if (status != OCTAVO_OK) plugin::throw_status(origin.tensor->info.name, operation, status, error);
}

void dequantize_on_host(const checkpoint::Checkpoint& source, const plan::RowOrigin& origin, const Band& band,
                        octavo_tensor& target) {
  std::vector<std::vector<std::byte>> parts;
  const octavo_layer layer = described(*origin.stored);
  const octavo_grid& grid = origin.stored->grid;
  octavo_tile tile = stored::tile_of(layer, grid, band.begin, band.rows, grid.cols);
  stored::for_each_part(
      tile, [&](octavo_tensor& part) { part.data = parts.emplace_back(stored::view_bytes(part)).data(); });
  stored::read_stored(source, *origin.stored, tile);
  octavo_error error = plugin::empty_error();
  check(origin, "dequantize", reference::operations().dequantize(nullptr, &tile, 1, &target, &error), error);
}

void read_on_host(const checkpoint::Checkpoint& source, const plan::RowOrigin& origin, const Band& band,
                  octavo_tensor& target) {
  const uint32_t dtype = origin.tensor->info.dtype;
  const uint64_t row_bytes = static_cast<uint64_t>(band.cols) * octavo::bytes_of(dtype);
  std::vector<std::byte> raw(static_cast<uint64_t>(band.rows) * row_bytes);
  source.read(*origin.tensor, static_cast<uint64_t>(band.begin) * row_bytes, raw);
  const octavo_tensor view = octavo::tensor_view(raw.data(), dtype, {band.rows, band.cols});
  octavo_cast_result result{};
  result.struct_size = sizeof result;
  octavo_error error = plugin::empty_error();
  check(origin, "cast", reference::operations().cast(nullptr, &view, &target, 0, &result, &error), error);
}

// Rows of a band of a block grid that begin within a block, for a reader that may ask for any rows.
Band whole_blocks(const plan::RowOrigin& origin, const Band& band) {
  const int64_t multiple = origin.stored->grid.row_multiple;
  const int64_t begin = band.begin / multiple * multiple;
  const int64_t end =
      std::min((band.begin + band.rows + multiple - 1) / multiple * multiple, origin.stored->rows);
  return {begin, end - begin, band.cols};
}

void stored_rows_on_host(const checkpoint::Checkpoint& source, const plan::RowOrigin& origin,
                         const Band& band, octavo_tensor& target) {
  const Band blocks = whole_blocks(origin, band);
  std::vector<float> values(static_cast<size_t>(blocks.rows * blocks.cols));
  octavo_tensor all = octavo::tensor_view(values.data(), OCTAVO_F32, {blocks.rows, blocks.cols});
  dequantize_on_host(source, origin, blocks, all);
  const std::vector<float> factors = stored::read_factors(source, *origin.stored);
  for (int64_t r = 0; r < band.rows; ++r) {
    auto* row = octavo::row_of<float>(target, r);
    std::copy_n(octavo::row_of<float>(all, band.begin - blocks.begin + r), band.cols, row);
    for (size_t c = 0; c < factors.size(); ++c) row[c] /= factors[c];
  }
}

void merge_on_host(const std::vector<lora::Delta>& deltas, const Band& band, octavo_tensor& target) {
  for (const lora::Delta& delta : deltas) {
    const Overlap part = overlap(delta, band);
    if (part.rows == 0) continue;
    const octavo_tensor rows = rows_of_view(target, part.begin, part.rows);
    lora::add_rows(*delta.adapter, part.from, part.rows, delta.strength, static_cast<float*>(rows.data),
                   rows.row_stride);
  }
}

void scale(octavo_tensor& target, const plan::RowOrigin& origin, const Band& band) {
  for (int64_t r = 0; r < band.rows; ++r) {
    auto* row = octavo::row_of<float>(target, r);
    if (origin.columns != nullptr) {
      for (int64_t c = 0; c < band.cols; ++c) row[c] *= origin.columns->at(c);
    }
    if (origin.rows == nullptr) continue;
    const float divisor = origin.rows->at(band.begin + r);
    for (int64_t c = 0; c < band.cols; ++c) row[c] /= divisor;
  }
}

}  // namespace

void make_rows(const checkpoint::Checkpoint& source, const plan::RowOrigin& origin, const Band& band,
               plugin::Lane& lane, Slot& slot, uint64_t staging, octavo_cast_result& cast) {
  if (!origin.needs_host()) return LaneRows(source, origin, band, lane, slot, staging, cast).make();
  octavo_tensor rows = octavo::tensor_view(slot.host(0).data(), OCTAVO_F32, {band.rows, band.cols});
  make_rows_on_host(source, origin, band, rows);
  slot.copy_in(stored::view_bytes(rows));
}

void make_rows_on_host(const checkpoint::Checkpoint& source, const plan::RowOrigin& origin, const Band& band,
                       octavo_tensor& target) {
  if (origin.stored != nullptr) {
    stored_rows_on_host(source, origin, band, target);
  } else {
    read_on_host(source, origin, band, target);
  }
  if (origin.deltas != nullptr) merge_on_host(*origin.deltas, band, target);
  if (origin.is_scaled()) scale(target, origin, band);
}

}  // namespace octavo::run
