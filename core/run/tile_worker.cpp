#include "run/tile_worker.hpp"

#include "base/error.hpp"
#include "plugin/instance.hpp"
#include "reference/operations.hpp"
#include "run/row_source.hpp"

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
  const bool incoherent = layer.grid.basis == OCTAVO_BASIS_INCOHERENT;
  throw Error(
      ErrorCode::bad_input,
      fmt::format("[convert] tensor {} holds {} value{} that {} not finite{}, first at [{}, {}] (element {})",
                  printable(layer.layer.key), count, count == 1 ? "" : "s", count == 1 ? "is" : "are",
                  rotated      ? " or not below 2^118, the limit of a rotated grid"
                  : incoherent ? " or not below 2^96, the limit of an incoherent grid"
                               : "",
                  row, col, row * layer.layer.cols + col),
      "--nonfinite keep leaves such layers as they are, --nonfinite zero makes such values 0");
}

// Output tensor of a layer that has a role; throws where it has none.
size_t output_of(const plan::PlannedLayer& layer, octavo_role role) {
  for (const plan::LayerOutput& output : layer.outputs) {
    if (output.role == role) return output.output;
  }
  throw Error(ErrorCode::failed,
              fmt::format("[convert] the format of layer {} writes a part it did not announce",
                          printable(layer.name)));
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
  } else if (item.kind == WorkKind::merge) {
    merge(pending, slots_[at]);
  } else {
    quantize(pending, slots_[at], std::move(stop));
  }
  if (lane_.raw().memory != OCTAVO_MEMORY_DEVICE)
    finish(at);  // nothing to wait for: write while it is in the cache
}

void TileWorker::drain() {
  for (size_t i = 0; i < slots_.size(); ++i) finish((next_slot_ + i) % slots_.size());
}

std::vector<size_t> TileWorker::unfinished() const {
  std::vector<size_t> numbers;
  for (const auto& pending : pending_) {
    if (pending) numbers.push_back(pending->number);
  }
  return numbers;
}

void TileWorker::copy(const WorkItem& item, Slot& slot) {
  const plan::PlannedCopy& copied = shared_.plan.copies[item.index];
  const std::span<std::byte> bytes = slot.host(item.size).first(item.size);
  shared_.source.read(*copied.source, item.begin, bytes);
  shared_.output->write(copied.output, item.begin, bytes);
  shared_.bytes_done += item.size;
  ++shared_.items_done;
}

void TileWorker::read_rows(const plan::PlannedLayer& layer, Pending& pending, Slot& slot) {
  const WorkItem& item = pending.item;
  const plan::TileOffsets at = plan::tile_offsets(layer, static_cast<int64_t>(item.size));
  const std::span<std::byte> block = slot.host(at.block);
  if (!layer.origin.is_plain()) {
    const Band band{static_cast<int64_t>(item.begin), static_cast<int64_t>(item.size), layer.layer.cols};
    make_rows(shared_.source, layer.origin, band, lane_, slot, at.total, pending.cast_in);
    return;
  }
  const uint64_t row_bytes = static_cast<uint64_t>(layer.layer.cols) * octavo::bytes_of(layer.layer.dtype);
  shared_.source.read(*layer.source, item.begin * row_bytes, block.first(item.size * row_bytes));
  slot.copy_in(item.size * row_bytes);
}

uint64_t TileWorker::source_bytes(const plan::PlannedLayer& layer, const WorkItem& item) const {
  return item.size * (layer.bytes_in / static_cast<uint64_t>(layer.layer.rows));
}

void TileWorker::merge(Pending& pending, Slot& slot) {
  const plan::PlannedMerge& merged = shared_.plan.merges[pending.item.index];
  const auto rows = static_cast<int64_t>(pending.item.size);
  const plan::TileOffsets at = plan::merge_offsets(merged, rows);
  slot.host(at.block);
  make_rows(shared_.source, merged.origin, {static_cast<int64_t>(pending.item.begin), rows, merged.cols},
            lane_, slot, at.total, pending.cast_in);
  const octavo_tensor values = slot.view(0, OCTAVO_F32, rows, merged.cols);
  octavo_tensor stored = slot.view(at.codes, merged.origin.tensor->info.dtype, rows, merged.cols);
  const uint32_t flags =
      shared_.plan.settings.cast_overflow == plan::CastOverflow::clamp ? OCTAVO_TILE_CLAMP_OVERFLOW : 0;
  pending.cast_out.struct_size = sizeof pending.cast_out;
  lane_.run("cast", [&](const octavo_operations& operations, octavo_lane* lane, octavo_error* error) {
    return operations.cast(lane, &values, &stored, flags, &pending.cast_out, error);
  });
  slot.copy_out(at.codes, at.total);
  lane_.record(slot.number());
}

void TileWorker::finish_merge(const Pending& pending, Slot& slot) {
  const plan::PlannedMerge& merged = shared_.plan.merges[pending.item.index];
  const checkpoint::TensorInfo& info = merged.origin.tensor->info;
  if (pending.cast_out.overflow_count > 0 &&
      shared_.plan.settings.cast_overflow != plan::CastOverflow::clamp) {
    throw Error(ErrorCode::bad_input,
                fmt::format("[convert] tensor {} holds {} values after the merge that its dtype cannot hold",
                            printable(info.name), pending.cast_out.overflow_count),
                "--fp16-overflow clamp stores the largest finite value");
  }
  const plan::TileOffsets at = plan::merge_offsets(merged, static_cast<int64_t>(pending.item.size));
  const uint64_t row_bytes = static_cast<uint64_t>(merged.cols) * octavo::bytes_of(info.dtype);
  shared_.output->write(merged.output, pending.item.begin * row_bytes,
                        bytes_of_view(slot.host(at.block).data(), at.codes, pending.item.size * row_bytes));
  shared_.bytes_done += pending.item.size * row_bytes;
}

void TileWorker::measure(Pending& pending, Slot& slot) {
  const plan::PlannedLayer& layer = *shared_.plan.layers[pending.item.index];
  const auto rows = static_cast<int64_t>(pending.item.size);
  read_rows(layer, pending, slot);
  pending.tile = slot.tile(layer, static_cast<int64_t>(pending.item.begin), rows);
  pending.absmax.struct_size = sizeof pending.absmax;
  const uint32_t flags =
      shared_.plan.settings.nonfinite == plan::Nonfinite::zero ? OCTAVO_TILE_ZERO_NONFINITE : 0;
  lane_.run("absmax", [&](const octavo_operations& operations, octavo_lane* lane, octavo_error* error) {
    return operations.absmax(lane, &layer.grid, &pending.tile.source, flags, &pending.absmax, error);
  });
  lane_.record(slot.number());
}

plugin::Preparation TileWorker::prepare(const plan::PlannedLayer& layer) {
  const octavo_layer& shape = layer.layer;
  const uint64_t row_bytes = static_cast<uint64_t>(shape.cols) * octavo::bytes_of(shape.dtype);
  const plugin::ReadRows read_rows = [&](int64_t row_begin, octavo_tensor& target) {
    if (!layer.origin.is_plain())
      return make_rows_on_host(shared_.source, layer.origin, {row_begin, target.shape[0], shape.cols},
                               target);
    std::vector<std::byte> raw(row_bytes * static_cast<uint64_t>(target.shape[0]));
    shared_.source.read(*layer.source, static_cast<uint64_t>(row_begin) * row_bytes, raw);
    const octavo_tensor view = octavo::tensor_view(raw.data(), shape.dtype, {target.shape[0], shape.cols});
    octavo_cast_result result{};
    result.struct_size = sizeof result;
    octavo_error error = plugin::empty_error();
    const octavo_status status =
        reference::operations().cast(&lane_.raw(), &view, &target, 0, &result, &error);
    if (status != OCTAVO_OK) plugin::throw_status(layer.name, "read rows", status, error);
  };
  return layer.optimizer->prepare(lane_.raw(), shape, layer.grid, read_rows, nullptr, {});
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
  plugin::Preparation preparation;
  if ((layer.wants & OCTAVO_WANTS_PREPARE) != 0) preparation = run.prepared([&] { return prepare(layer); });

  const plan::TileOffsets at = plan::tile_offsets(layer, rows);
  read_rows(layer, pending, slot);
  pending.tile = slot.tile(layer, static_cast<int64_t>(pending.item.begin), rows);
  pending.tile.absmax = absmax;
  if (shared_.plan.settings.nonfinite == plan::Nonfinite::zero)
    pending.tile.flags |= OCTAVO_TILE_ZERO_NONFINITE;
  if (shared_.plan.settings.cast_overflow == plan::CastOverflow::clamp) {
    pending.tile.flags |= OCTAVO_TILE_CLAMP_OVERFLOW;
  }
  pending.result.struct_size = sizeof pending.result;
  pending.result.nonfinite_first = -1;
  if (preparation.verdict == OCTAVO_VERDICT_NEAREST) {
    lane_.run("quantize_nearest",
              [&](const octavo_operations& operations, octavo_lane* lane, octavo_error* error) {
                return operations.quantize_nearest(lane, &pending.tile, &pending.result, error);
              });
  } else {
    layer.optimizer->quantize(preparation.state, lane_.raw(), pending.tile, pending.result);
  }
  slot.copy_out(at.codes, at.total);
  lane_.record(slot.number());
}

void TileWorker::finish(size_t slot) {
  if (!pending_[slot]) return;
  lane_.wait(static_cast<uint32_t>(slot));
  const Pending& done = *pending_[slot];
  if (done.item.kind == WorkKind::absmax) {
    finish_absmax(done);
  } else if (done.item.kind == WorkKind::merge) {
    finish_merge(done, slots_[slot]);
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
    shared_.bytes_done += source_bytes(layer, pending.item);
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
  shared_.bytes_done += source_bytes(layer, pending.item);
}

void TileWorker::write_parts(const plan::PlannedLayer& layer, const Pending& pending, Slot& slot) {
  const octavo_grid& grid = layer.grid;
  const auto rows = static_cast<int64_t>(pending.item.size);
  const plan::TileOffsets at = plan::tile_offsets(layer, rows);
  std::byte* block = slot.host(at.total).data();
  if (layer.format->packs()) {
    octavo_tile stored = pending.tile;  // the same views in host memory
    stored.codes.data = block + at.codes;
    for (uint32_t level = 0; level < grid.scale_levels; ++level)
      stored.scales[level].data = block + at.scales[level];
    stored.zero_points.data = block + at.zero_points;
    const plugin::Storage storage{[&](octavo_role role, uint64_t offset, std::span<const std::byte> bytes) {
                                    shared_.output->write(output_of(layer, role), offset, bytes);
                                  },
                                  [](octavo_role, uint64_t, std::span<std::byte>) {
                                    throw Error(ErrorCode::failed,
                                                "[convert] encode reads what it is to write");
                                  }};
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
  const plan::TileOffsets at = plan::tile_offsets(layer, static_cast<int64_t>(pending.item.size));
  const auto shape = octavo::scale_shape(scales, static_cast<int64_t>(pending.item.size), layer.grid.cols);
  const int64_t rows_per_scale = scales.granularity == OCTAVO_PER_BLOCK ? scales.block_rows : 1;
  const uint64_t row_bytes = static_cast<uint64_t>(shape.cols) * octavo::bytes_of(scales.dtype);
  const uint64_t first = pending.item.begin / static_cast<uint64_t>(rows_per_scale);
  shared_.output->write(
      output.output, first * row_bytes,
      bytes_of_view(block, at.scales[level], static_cast<uint64_t>(shape.rows) * row_bytes));
}

}  // namespace octavo::run
