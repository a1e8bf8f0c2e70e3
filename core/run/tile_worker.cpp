#include "run/tile_worker.hpp"

#include "base/error.hpp"
#include "plugin/status.hpp"

#include <octavo/grid.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace octavo::run {
namespace {

std::span<const std::byte> bytes_of_view(const std::byte* block, uint64_t offset, uint64_t size) {
  return {block + offset, static_cast<size_t>(size)};
}

// Why a layer cannot go on, with the place of the first bad value.
[[noreturn]] void refuse_nonfinite(const plan::PlannedLayer& layer, int64_t row_begin, int64_t first,
                                   int64_t count) {
  const int64_t row = row_begin + first / layer.layer.cols;
  const int64_t col = first % layer.layer.cols;
  const bool rotated = layer.grid.basis == OCTAVO_BASIS_CONVROT;
  throw Error(
      ErrorCode::bad_input,
      fmt::format("[convert] tensor {} holds {} value{} that {} not finite{}, first at [{}, {}] (element {})",
                  printable(layer.layer.key), count, count == 1 ? "" : "s", count == 1 ? "is" : "are",
                  rotated ? " or not below 2^118, the limit of a rotated grid" : "", row, col,
                  row * layer.layer.cols + col),
      "--nonfinite keep leaves such layers as they are, --nonfinite zero makes such values 0");
}

struct StorageContext {
  Output& output;
  const plan::PlannedLayer& layer;
};

// octavo_storage.write: a format that packs its codes writes pieces of its tensors here.
octavo_status write_storage(void* context, uint32_t role, uint64_t offset, const void* bytes, uint64_t size) {
  auto& storage = *static_cast<StorageContext*>(context);
  try {
    for (const plan::LayerOutput& output : storage.layer.outputs) {
      if (output.role != role) continue;
      storage.output.write(output.output, offset,
                           {static_cast<const std::byte*>(bytes), static_cast<size_t>(size)});
      return OCTAVO_OK;
    }
    return OCTAVO_BAD_ARGUMENT;
  } catch (const std::exception&) {
    return OCTAVO_FAILED;
  }
}

octavo_status read_storage(void*, uint32_t, uint64_t, void*, uint64_t) { return OCTAVO_UNSUPPORTED; }

struct RowsContext {
  const checkpoint::Checkpoint& source;
  const plan::PlannedLayer& layer;
  octavo_lane* lane;
};

// octavo_rows.read: rows of the source as f32.
octavo_status read_f32_rows(void* context, int64_t row_begin, octavo_tensor* target, octavo_error* error) {
  const auto& rows = *static_cast<RowsContext*>(context);
  const octavo_layer& layer = rows.layer.layer;
  return octavo::detail::guard(error, [&] {
    const uint64_t row_bytes = static_cast<uint64_t>(layer.cols) * octavo::bytes_of(layer.dtype);
    std::vector<std::byte> raw(row_bytes * static_cast<uint64_t>(target->shape[0]));
    rows.source.read(*rows.layer.source, static_cast<uint64_t>(row_begin) * row_bytes, raw);
    const octavo_tensor view = octavo::tensor_view(raw.data(), layer.dtype, {target->shape[0], layer.cols});
    octavo_cast_result result{};
    result.struct_size = sizeof result;
    octavo_error inner = octavo::empty_error();
    octavo::check(rows.lane->host->reference->cast(rows.lane, &view, target, 0, &result, &inner), inner);
  });
}

}  // namespace

TileWorker::TileWorker(RunShared& shared, plugin::Lane lane, uint32_t slots, uint64_t slot_bytes)
    : shared_(shared), lane_(std::move(lane)), pending_(slots) {
  for (uint32_t i = 0; i < slots; ++i) slots_.emplace_back(lane_, i, slot_bytes);
}

void TileWorker::start(const WorkItem& item, size_t number, std::stop_token stop) {
  const size_t at = next_slot_;
  next_slot_ = (next_slot_ + 1) % slots_.size();
  finish(at);
  if (item.kind == WorkKind::copy) {
    copy(item, slots_[at]);
    return;
  }
  Pending& pending = pending_[at].emplace(Pending{item, number});
  if (item.kind == WorkKind::absmax) {
    measure(pending, slots_[at]);
  } else {
    quantize(pending, slots_[at], std::move(stop));
  }
  if (lane_.raw().memory != OCTAVO_MEMORY_DEVICE)
    finish(at);  // nothing to wait for: write while it is in the cache
}

void TileWorker::drain() {
  for (size_t i = 0; i < slots_.size(); ++i) finish((next_slot_ + i) % slots_.size());
}

void TileWorker::copy(const WorkItem& item, Slot& slot) {
  const plan::PlannedCopy& copied = shared_.plan.copies[item.index];
  const std::span<std::byte> bytes = slot.host(item.size).first(item.size);
  shared_.source.read(*copied.source, item.begin, bytes);
  shared_.output->write(copied.output, item.begin, bytes);
  shared_.bytes_done += item.size;
  ++shared_.items_done;
}

void TileWorker::read_rows(const plan::PlannedLayer& layer, const WorkItem& item, Slot& slot,
                           uint64_t block_bytes) {
  const uint64_t row_bytes = static_cast<uint64_t>(layer.layer.cols) * octavo::bytes_of(layer.layer.dtype);
  const std::span<std::byte> block = slot.host(block_bytes);
  shared_.source.read(*layer.source, item.begin * row_bytes, block.first(item.size * row_bytes));
  slot.copy_in(item.size * row_bytes);
}

void TileWorker::measure(Pending& pending, Slot& slot) {
  const plan::PlannedLayer& layer = *shared_.plan.layers[pending.item.index];
  const auto rows = static_cast<int64_t>(pending.item.size);
  read_rows(layer, pending.item, slot, tile_offsets(layer, rows).total);
  pending.tile = slot.tile(layer, static_cast<int64_t>(pending.item.begin), rows);
  pending.absmax.struct_size = sizeof pending.absmax;
  const uint32_t flags =
      shared_.plan.settings.nonfinite == plan::Nonfinite::zero ? OCTAVO_TILE_ZERO_NONFINITE : 0;
  octavo_lane& lane = lane_.raw();
  octavo_error error = octavo::empty_error();
  plugin::check(
      lane.operations->absmax(&lane, &layer.grid, &pending.tile.source, flags, &pending.absmax, &error),
      error, layer.layer.key);
  lane_.record(slot.number());
}

void* TileWorker::prepare(const plan::PlannedLayer& layer) {
  RowsContext context{shared_.source, layer, &lane_.raw()};
  const octavo_rows rows{sizeof(octavo_rows), 0, &context, read_f32_rows};
  return layer.optimizer->prepare(lane_.raw(), layer.layer, layer.grid, rows);
}

void TileWorker::quantize(Pending& pending, Slot& slot, std::stop_token stop) {
  const plan::PlannedLayer& layer = *shared_.plan.layers[pending.item.index];
  LayerRun& run = *shared_.layers[pending.item.index];
  const auto rows = static_cast<int64_t>(pending.item.size);
  float absmax = 0;
  if (octavo::needs_layer_absmax(layer.grid)) {
    // Pieces of this layer that this lane has in flight are among those that it would wait for.
    for (size_t i = 0; i < slots_.size(); ++i) {
      if (i != slot.number()) finish(i);
    }
    if (!run.wait_absmax(std::move(stop), absmax)) {
      pending_[slot.number()].reset();
      return;
    }
  }
  void* state = nullptr;
  if ((layer.wants & OCTAVO_WANTS_PREPARE) != 0) state = run.state([&] { return prepare(layer); });

  const TileOffsets at = tile_offsets(layer, rows);
  read_rows(layer, pending.item, slot, at.total);
  pending.tile = slot.tile(layer, static_cast<int64_t>(pending.item.begin), rows);
  pending.tile.absmax = absmax;
  if (shared_.plan.settings.nonfinite == plan::Nonfinite::zero)
    pending.tile.flags |= OCTAVO_TILE_ZERO_NONFINITE;
  if (shared_.plan.settings.cast_overflow == plan::CastOverflow::clamp) {
    pending.tile.flags |= OCTAVO_TILE_CLAMP_OVERFLOW;
  }
  pending.result.struct_size = sizeof pending.result;
  pending.result.nonfinite_first = -1;
  layer.optimizer->quantize(state, lane_.raw(), pending.tile, pending.result);
  slot.copy_out(at.codes, at.total);
  lane_.record(slot.number());
}

void TileWorker::finish(size_t slot) {
  if (!pending_[slot]) return;
  lane_.wait(static_cast<uint32_t>(slot));
  const Pending& done = *pending_[slot];
  if (done.item.kind == WorkKind::absmax) {
    finish_absmax(done);
  } else {
    finish_tile(done, slots_[slot]);
  }
  pending_[slot].reset();
  ++shared_.items_done;
}

void TileWorker::finish_absmax(const Pending& pending) {
  const plan::PlannedLayer& layer = *shared_.plan.layers[pending.item.index];
  if (shared_.output == nullptr) {
    shared_.measured[pending.number] = pending.absmax;
    shared_.bytes_done +=
        pending.item.size * static_cast<uint64_t>(layer.layer.cols) * octavo::bytes_of(layer.layer.dtype);
    return;
  }
  if (pending.absmax.nonfinite_count > 0 && shared_.plan.settings.nonfinite != plan::Nonfinite::zero) {
    refuse_nonfinite(layer, pending.tile.row_begin, pending.absmax.nonfinite_first,
                     pending.absmax.nonfinite_count);
  }
  shared_.layers[pending.item.index]->add_absmax(pending.absmax);
}

void TileWorker::finish_tile(const Pending& pending, Slot& slot) {
  const plan::PlannedLayer& layer = *shared_.plan.layers[pending.item.index];
  const octavo_tile_result& result = pending.result;
  if (result.nonfinite_count > 0 && shared_.plan.settings.nonfinite != plan::Nonfinite::zero) {
    refuse_nonfinite(layer, pending.tile.row_begin, result.nonfinite_first, result.nonfinite_count);
  }
  if (result.overflow_count > 0 && shared_.plan.settings.cast_overflow != plan::CastOverflow::clamp) {
    throw Error(
        ErrorCode::bad_input,
        fmt::format("[convert] tensor {} holds {} values that its stored dtype cannot hold",
                    printable(layer.layer.key), result.overflow_count),
        "--fp16-overflow keep leaves such tensors as they are, clamp stores the largest finite value");
  }
  write_parts(layer, pending, slot);
  shared_.layers[pending.item.index]->store(pending.item.tile, result);
  shared_.bytes_done +=
      pending.item.size * static_cast<uint64_t>(layer.layer.cols) * octavo::bytes_of(layer.layer.dtype);
}

void TileWorker::write_parts(const plan::PlannedLayer& layer, const Pending& pending, Slot& slot) {
  const octavo_grid& grid = layer.grid;
  const auto rows = static_cast<int64_t>(pending.item.size);
  const TileOffsets at = tile_offsets(layer, rows);
  std::byte* block = slot.host(at.total).data();
  if (layer.format->packs()) {
    octavo_tile stored = pending.tile;  // the same views in host memory
    stored.codes.data = block + at.codes;
    for (uint32_t level = 0; level < grid.scale_levels; ++level)
      stored.scales[level].data = block + at.scales[level];
    stored.zero_points.data = block + at.zero_points;
    StorageContext context{*shared_.output, layer};
    const octavo_storage storage{sizeof(octavo_storage), 0, &context, write_storage, read_storage};
    layer.format->encode(stored, storage);
    return;
  }
  for (const plan::LayerOutput& output : layer.outputs) {
    if (output.role == OCTAVO_ROLE_CODES) {
      const uint64_t row_bytes = static_cast<uint64_t>(grid.cols) * octavo::bytes_of(grid.stored_dtype);
      shared_.output->write(output.output, pending.item.begin * row_bytes,
                            bytes_of_view(block, at.codes, pending.item.size * row_bytes));
    } else if (output.role == OCTAVO_ROLE_SCALES || output.role == OCTAVO_ROLE_OUTER_SCALES) {
      write_scales(layer, pending, block, output, output.role == OCTAVO_ROLE_SCALES ? 0 : 1);
    }
  }
}

void TileWorker::write_scales(const plan::PlannedLayer& layer, const Pending& pending, const std::byte* block,
                              const plan::LayerOutput& output, uint32_t level) {
  const octavo_scale_level& scales = layer.grid.scales[level];
  if (scales.granularity == OCTAVO_PER_TENSOR) {
    if (pending.item.begin != 0) return;
    const float scale = octavo::scale_of(pending.tile.absmax, layer.grid.qmax, scales.floor);
    shared_.output->write(output.output, 0, std::as_bytes(std::span(&scale, 1)));
    return;
  }
  const TileOffsets at = tile_offsets(layer, static_cast<int64_t>(pending.item.size));
  const auto shape = octavo::scale_shape(scales, static_cast<int64_t>(pending.item.size), layer.grid.cols);
  const int64_t rows_per_scale = scales.granularity == OCTAVO_PER_BLOCK ? scales.block_rows : 1;
  const uint64_t row_bytes = static_cast<uint64_t>(shape.cols) * octavo::bytes_of(scales.dtype);
  const uint64_t first = pending.item.begin / static_cast<uint64_t>(rows_per_scale);
  shared_.output->write(
      output.output, first * row_bytes,
      bytes_of_view(block, at.scales[level], static_cast<uint64_t>(shape.rows) * row_bytes));
}

}  // namespace octavo::run
