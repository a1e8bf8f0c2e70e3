#include "stored/band_source.hpp"

#include "base/error.hpp"
#include "checkpoint/dtypes.hpp"

#include <octavo/grid.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>

namespace octavo::stored {
namespace {

octavo_role scale_role(uint32_t level) { return level == 0 ? OCTAVO_ROLE_SCALES : OCTAVO_ROLE_OUTER_SCALES; }

// A view [rows, cols] of `bytes`, which is made large enough.
octavo_tensor buffer_view(std::vector<std::byte>& bytes, uint32_t dtype, int64_t rows, int64_t cols) {
  const auto needed = static_cast<size_t>(rows * cols) * static_cast<size_t>(bits_of(dtype)) / 8;
  if (bytes.size() < needed) bytes.resize(needed);
  return tensor_view(bytes.data(), dtype, {rows, cols});
}

void place(octavo_tensor& part, std::vector<std::byte>& bytes) {
  part = buffer_view(bytes, part.dtype, part.shape[0], part.shape[1]);
}

// Rows of one band of scales or zero points, from the tensor of that role.
void read_cells(const checkpoint::Checkpoint& file, const Layer& layer, octavo_role role,
                const octavo_scale_level& level, const octavo_tensor& view, int64_t row_begin) {
  const checkpoint::TensorRef* tensor = layer.find(role);
  const ScaleShape whole = scale_shape(level, layer.grid.rows, layer.grid.cols);
  const auto cells = static_cast<uint64_t>(whole.rows * whole.cols);
  if (tensor == nullptr || tensor->info.elements() != cells ||
      static_cast<uint32_t>(tensor->info.dtype) != view.dtype) {
    throw Error(
        ErrorCode::bad_input,
        fmt::format("[read] {}: its scales are missing or have another shape or dtype than its format",
                    printable(layer.name)),
        "octavo verify says more");
  }
  const int64_t first = level.granularity == OCTAVO_PER_TENSOR  ? 0
                        : level.granularity == OCTAVO_PER_BLOCK ? row_begin / level.block_rows
                                                                : row_begin;
  file.read(*tensor, static_cast<uint64_t>(first * whole.cols) * bytes_of(view.dtype),
            {static_cast<std::byte*>(view.data), view_bytes(view)});
}

}  // namespace

int64_t band_rows(int64_t cols, int64_t multiple) {
  constexpr int64_t kElements = int64_t{1} << 20;
  const int64_t rows = std::max<int64_t>(1, kElements / std::max<int64_t>(1, cols));
  return (rows + multiple - 1) / multiple * multiple;
}

void read_stored(const checkpoint::Checkpoint& file, const Layer& layer, octavo_tile& tile) {
  if (layer.format->packs()) {
    plugin::Storage storage;
    storage.read = [&](octavo_role role, uint64_t offset, std::span<std::byte> bytes) {
      const checkpoint::TensorRef* tensor = layer.find(role);
      if (tensor == nullptr) {
        throw Error(ErrorCode::bad_input,
                    fmt::format("[read] {} lacks a part of its format", printable(layer.name)));
      }
      file.read(*tensor, offset, bytes);
    };
    return layer.format->decode(tile, storage);
  }
  const uint64_t row_bytes = static_cast<uint64_t>(tile.codes.shape[1]) * bytes_of(tile.codes.dtype);
  file.read(*layer.find(OCTAVO_ROLE_CODES), static_cast<uint64_t>(tile.row_begin) * row_bytes,
            {static_cast<std::byte*>(tile.codes.data), view_bytes(tile.codes)});
  for (uint32_t i = 0; i < tile.grid->scale_levels; ++i) {
    read_cells(file, layer, scale_role(i), tile.grid->scales[i], tile.scales[i], tile.row_begin);
  }
  if (tile.zero_points.data != nullptr) {
    read_cells(file, layer, OCTAVO_ROLE_ZERO_POINTS, tile.grid->scales[0], tile.zero_points, tile.row_begin);
  }
}

std::vector<float> read_factors(const checkpoint::Checkpoint& file, const Layer& layer) {
  const checkpoint::TensorRef* tensor = layer.find(OCTAVO_ROLE_SMOOTH_FACTORS);
  if (tensor == nullptr) return {};
  std::vector<float> factors(static_cast<size_t>(layer.cols));
  const bool fits = tensor->info.dtype == OCTAVO_F32 && tensor->info.elements() == factors.size();
  if (fits) file.read(*tensor, 0, std::as_writable_bytes(std::span(factors)));
  const auto is_usable = [](float factor) { return std::isfinite(factor) && factor != 0; };
  if (!fits || !std::all_of(factors.begin(), factors.end(), is_usable)) {
    throw Error(ErrorCode::bad_input, fmt::format("[read] {}: smooth factors are F32 [{}], finite and not 0",
                                                  printable(tensor->info.name), layer.cols));
  }
  return factors;
}

void Scaling::apply(octavo_tensor& values, int64_t row_begin) const {
  for (int64_t r = 0; r < values.shape[0]; ++r) {
    auto* row = row_of<float>(values, r);
    const float of_row = rows.empty() ? 1.0F : rows[static_cast<size_t>(row_begin + r)];
    for (int64_t c = 0; c < values.shape[1]; ++c)
      row[c] *= columns.empty() ? of_row : of_row * columns[static_cast<size_t>(c)];
  }
}

BandSource::BandSource(const checkpoint::Checkpoint& file, const checkpoint::TensorRef& tensor)
    : file_(file), tensor_(&tensor) {
  const auto& shape = tensor.info.shape;
  cols_ = shape.empty() ? 1 : static_cast<int64_t>(shape.back());
  rows_ = cols_ == 0 ? 0 : static_cast<int64_t>(tensor.info.elements()) / cols_;
}

BandSource::BandSource(const checkpoint::Checkpoint& file, const Layer& layer)
    : file_(file),
      tensor_(layer.find(OCTAVO_ROLE_CODES)),
      layer_(&layer),
      rows_(layer.rows),
      cols_(layer.cols) {
  boundary_layer_.struct_size = sizeof boundary_layer_;
  boundary_layer_.dtype = OCTAVO_F32;
  boundary_layer_.name = layer.name.c_str();
  boundary_layer_.key = tensor_ == nullptr ? layer.name.c_str() : tensor_->info.name.c_str();
  boundary_layer_.rows = layer.rows;
  boundary_layer_.cols = layer.cols;
  stored_scaling_.columns = read_factors(file, layer);
  for (float& factor : stored_scaling_.columns) factor = 1 / factor;
}

uint64_t BandSource::bytes() const { return layer_ == nullptr ? tensor_->info.bytes() : layer_->bytes(); }

const std::string& BandSource::name() const { return tensor_ == nullptr ? layer_->name : tensor_->info.name; }

std::string BandSource::stored_as() const {
  return layer_ == nullptr ? checkpoint::name(tensor_->info.dtype) : layer_->format->id();
}

std::string BandSource::unreadable() const {
  if (layer_ == nullptr) {
    if (is_weight_dtype(static_cast<uint32_t>(tensor_->info.dtype))) return "";
    return fmt::format("{} is no dtype of weights", checkpoint::name(tensor_->info.dtype));
  }
  const octavo_grid& grid = layer_->grid;
  if (tensor_ == nullptr) return "the layer names no codes";
  if (grid.basis == OCTAVO_BASIS_INCOHERENT) return "its basis couples rows, so that it has no bands";
  if (grid.basis == OCTAVO_BASIS_FORMAT && !layer_->format->packs()) return "only the format knows its basis";
  if (grid.rows != layer_->rows || grid.cols != layer_->cols) return "its codes are padded";
  if (bytes_of(grid.stored_dtype) == 0 && !layer_->format->packs())
    return "its codes are narrower than a byte";
  return "";
}

// Factors are applied in host memory: a lane of a device gets the values for which there are any from the
// reference operations.
octavo_tensor BandSource::read(BandLane& lane, BandBuffers& buffers, int64_t row_begin, int64_t count) const {
  const bool is_scaled = scaling_ != nullptr && !scaling_->empty();
  if (!is_scaled && stored_scaling_.empty()) return read_unscaled(lane, buffers, row_begin, count);
  buffers.scaled.resize(static_cast<size_t>(count * cols_));
  octavo_tensor scaled = tensor_view(buffers.scaled.data(), OCTAVO_F32, {count, cols_});
  const auto copy = [&](const octavo_tensor& values) {
    std::memcpy(buffers.scaled.data(), values.data, view_bytes(scaled));
  };
  if (lane.on_host()) {
    const octavo_tensor values = read_unscaled(lane, buffers, row_begin, count);
    lane.finish();
    copy(values);
  } else {
    BandLane reference(*lane.raw().host);
    BandBuffers on_host;
    copy(read_unscaled(reference, on_host, row_begin, count));
  }
  stored_scaling_.apply(scaled, row_begin);
  if (is_scaled) scaling_->apply(scaled, row_begin);
  return buffers.lane_scaled.upload(lane, scaled);
}

octavo_tensor BandSource::read_unscaled(BandLane& lane, BandBuffers& buffers, int64_t row_begin,
                                        int64_t count) const {
  return layer_ == nullptr ? read_float(lane, buffers, row_begin, count)
                           : read_codes(lane, buffers, row_begin, count);
}

octavo_tensor BandSource::read_float(BandLane& lane, BandBuffers& buffers, int64_t row_begin,
                                     int64_t count) const {
  const auto dtype = static_cast<uint32_t>(tensor_->info.dtype);
  const octavo_tensor source = buffer_view(buffers.source, dtype, count, cols_);
  const auto row_bytes = static_cast<uint64_t>(cols_) * bytes_of(dtype);
  file_.read(*tensor_, static_cast<uint64_t>(row_begin) * row_bytes,
             {static_cast<std::byte*>(source.data), view_bytes(source)});
  const octavo_tensor uploaded = buffers.lane_source.upload(lane, source);
  if (dtype == OCTAVO_F32) return uploaded;
  octavo_tensor values = buffers.lane_values.reserve(lane, tensor_view(nullptr, OCTAVO_F32, {count, cols_}));
  buffers.cast_result.struct_size = sizeof buffers.cast_result;
  lane.run("cast", [&](auto& operations, auto* raw, auto* error) {
    return operations.cast(raw, &uploaded, &values, 0, &buffers.cast_result, error);
  });
  return values;
}

// A tile of the band in host memory, with room for everything that is read.
octavo_tile BandSource::host_tile(BandBuffers& buffers, int64_t row_begin, int64_t count) const {
  const octavo_grid& grid = layer_->grid;
  octavo_tile tile = tile_of(boundary_layer_, grid, row_begin, count, cols_);
  place(tile.codes, buffers.source);
  for (uint32_t i = 0; i < grid.scale_levels; ++i) place(tile.scales[i], buffers.scales[i]);
  if (tile.zero_points.rank != 0) place(tile.zero_points, buffers.zero_points);
  return tile;
}

octavo_tensor BandSource::read_codes(BandLane& lane, BandBuffers& buffers, int64_t row_begin,
                                     int64_t count) const {
  octavo_tile tile = host_tile(buffers, row_begin, count);
  read_stored(file_, *layer_, tile);
  tile.codes = buffers.lane_source.upload(lane, tile.codes);
  for (uint32_t i = 0; i < tile.grid->scale_levels; ++i) {
    tile.scales[i] = buffers.lane_scales[i].upload(lane, tile.scales[i]);
  }
  tile.zero_points = buffers.lane_zero_points.upload(lane, tile.zero_points);
  octavo_tensor values = buffers.lane_values.reserve(lane, tensor_view(nullptr, OCTAVO_F32, {count, cols_}));
  lane.dequantize(tile, values);
  return values;
}

}  // namespace octavo::stored
