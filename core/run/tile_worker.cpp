#include "run/tile_worker.hpp"

#include "plan/tile_shape.hpp"
#include "run/activation_scale.hpp"
#include "run/bad_values.hpp"
#include "run/bias_correction.hpp"
#include "run/layer_preparation.hpp"
#include "run/row_source.hpp"
#include "run/tile_halves.hpp"
#include "run/tile_parts.hpp"

#include <octavo/grid.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <utility>

namespace octavo::run {

TileWorker::TileWorker(RunShared& shared, plugin::Lane lane, uint32_t slots, uint64_t slot_bytes,
                       SetAside set_aside)
    : shared_(shared), lane_(std::move(lane)), set_aside_(std::move(set_aside)), pending_(slots) {
  for (uint32_t i = 0; i < slots; ++i) slots_.emplace_back(lane_, i, slot_bytes);
}

std::optional<uint32_t> TileWorker::start(const WorkItem& item, size_t number, const std::stop_token& stop) {
  const size_t at = next_slot_;
  next_slot_ = (next_slot_ + 1) % slots_.size();
  finish(at);
  std::optional<uint32_t> ahead;
  if (item.kind == WorkKind::copy) {
    copy(item, slots_[at]);
    return ahead;
  }
  if (item.kind == WorkKind::activation_scale) {
    find_activation_scale(item, slots_[at]);
    return ahead;
  }
  Pending& pending = pending_[at].emplace(Pending{item, number});
  try {
    if (item.kind == WorkKind::absmax) {
      measure(pending, slots_[at]);
    } else if (item.kind == WorkKind::merge) {
      merge(pending, slots_[at]);
    } else {
      ahead = quantize(pending, slots_[at], stop);
    }
  } catch (const plugin::OutOfMemory& error) {
    if (!set_aside_) throw;
    set_aside(at, error);
  }
  if (lane_.raw().memory != OCTAVO_MEMORY_DEVICE)
    finish(at);  // nothing to wait for: write while it is in the cache
  return ahead;
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
  const std::span<std::byte> bytes = slot.buffer(item.size).first(item.size);
  shared_.source.read(*copied.source, item.begin, bytes);
  shared_.output->write(copied.output, item.begin, bytes);
  shared_.bytes_done += item.size;
  shared_.tensors.finished(item);
}

void TileWorker::read_rows(const plan::PlannedLayer& layer, Pending& pending, Slot& slot) {
  const WorkItem& item = pending.item;
  const plan::TileOffsets at = plan::tile_offsets(layer, static_cast<int64_t>(item.size));
  if (!layer.origin.is_plain()) {
    slot.host(at.block);
    const Band band{static_cast<int64_t>(item.begin), static_cast<int64_t>(item.size), layer.layer.cols};
    make_rows(shared_.source, layer.origin, band, lane_, slot, at.total, pending.cast_in);
    return;
  }
  if (layer.format->packs()) {
    slot.host(at.block);  // it makes what is stored of the host's block
  } else {
    slot.hold(at.block);
  }
  const uint64_t row_bytes = static_cast<uint64_t>(layer.layer.cols) * octavo::bytes_of(layer.layer.dtype);
  slot.fill(item.size * row_bytes, [&](uint64_t begin, std::span<std::byte> target) {
    shared_.source.read(*layer.source, item.begin * row_bytes + begin, target);
  });
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
    throw Error(
        ErrorCode::bad_input,
        fmt::format(
            "[convert] tensor {} holds {} values after the merge or the smoothing that its dtype cannot hold",
            printable(info.name), pending.cast_out.overflow_count),
        "--fp16-overflow clamp stores the largest finite value");
  }
  const plan::TileOffsets at = plan::merge_offsets(merged, static_cast<int64_t>(pending.item.size));
  const uint64_t row_bytes = static_cast<uint64_t>(merged.cols) * octavo::bytes_of(info.dtype);
  shared_.output->write(merged.output, pending.item.begin * row_bytes,
                        slot.host(at.block).subspan(at.codes, pending.item.size * row_bytes));
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

void TileWorker::find_activation_scale(const WorkItem& item, Slot& slot) {
  const plan::PlannedActivationScale& wanted = shared_.plan.activation_scales[item.index];
  const plan::PlannedLayer& layer = *shared_.plan.layers[wanted.layer];
  const float scale = activation_scale(layer, *shared_.calibration, lane_, slot);
  const std::vector<float> scales(wanted.elements, scale);
  shared_.output->write(wanted.output, 0, std::as_bytes(std::span(scales)));
  shared_.tensors.finished(item);
}

void TileWorker::prepare(uint32_t layer) {
  const plugin::HostServices::Turn turn(shared_.queue->turn(layer));
  PreparedLayer prepared = prepare_layer(shared_, layer, lane_);
  shared_.layers[layer]->set_verdict(prepared.preparation.verdict, prepared.preparation.reason);
  shared_.queue->prepared(layer, std::move(prepared));
}

// What the lane has in flight is finished first: a lease that the layer waits for may be given back with it.
void TileWorker::prepare_ahead() {
  while (const std::optional<uint32_t> layer = shared_.queue->claim_ahead()) {
    drain();
    prepare(*layer);
  }
}

// What this lane has in flight may be among what it would wait for.
void TileWorker::finish_others(size_t slot) {
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (i != slot) finish(i);
  }
}

bool TileWorker::await_absmax(const plan::PlannedLayer& layer, uint32_t index, const std::stop_token& stop,
                              float& absmax) {
  if (!octavo::needs_layer_absmax(layer.grid)) return true;
  const LayerRun& run = *shared_.layers[index];
  return shared_.idle.wait(stop, [&] { return run.has_absmax(absmax); });
}

bool TileWorker::await_preparation(uint32_t index, const std::stop_token& stop,
                                   std::optional<uint32_t>& ahead) {
  LayerQueue& queue = *shared_.queue;
  if (!queue.contains(index)) return true;
  const bool prepares = lane_.raw().primary != 0;
  while (true) {
    const bool is_admitted = queue.admit(index);
    if (is_admitted && queue.is_prepared(index)) return true;
    if (prepares && is_admitted && queue.claim(index)) {
      prepare(index);
      continue;
    }
    if (prepares) ahead = queue.claim_ahead();
    if (ahead || !shared_.idle.wait(stop, [&] { return queue.can_go_on(index, prepares); })) return false;
  }
}

std::optional<uint32_t> TileWorker::quantize(Pending& pending, Slot& slot, const std::stop_token& stop) {
  const uint32_t index = pending.item.index;
  const plan::PlannedLayer& layer = *shared_.plan.layers[index];
  float absmax = 0;
  std::optional<uint32_t> ahead;
  if (shared_.queue->contains(index) || octavo::needs_layer_absmax(layer.grid)) finish_others(slot.number());
  if (!await_absmax(layer, index, stop, absmax) || !await_preparation(index, stop, ahead)) {
    pending_[slot.number()].reset();
    return ahead;
  }
  try {
    issue(pending, slot, absmax);
  } catch (const Error& error) {
    pending.tile.absmax = absmax;
    if (!quantize_in_halves(pending, slot, error)) throw;
  }
  return ahead;
}

void TileWorker::issue(Pending& pending, Slot& slot, float absmax) {
  const uint32_t index = pending.item.index;
  const plan::PlannedLayer& layer = *shared_.plan.layers[index];
  const auto begin = static_cast<int64_t>(pending.item.begin);
  const auto rows = static_cast<int64_t>(pending.item.size);
  read_rows(layer, pending, slot);
  pending.tile = slot.tile(layer, begin, rows);
  pending.tile.absmax = absmax;
  if (shared_.plan.settings.nonfinite == plan::Nonfinite::zero)
    pending.tile.flags |= OCTAVO_TILE_ZERO_NONFINITE;
  if (shared_.plan.settings.cast_overflow == plan::CastOverflow::clamp) {
    pending.tile.flags |= OCTAVO_TILE_CLAMP_OVERFLOW;
  }
  pending.result.struct_size = sizeof pending.result;
  pending.result.nonfinite_first = -1;
  const plugin::Preparation none;
  const plugin::Preparation& preparation = shared_.queue->contains(index) ? shared_.queue->get(index) : none;
  if (preparation.verdict == OCTAVO_VERDICT_NEAREST) {
    lane_.run("quantize_nearest",
              [&](const octavo_operations& operations, octavo_lane* lane, octavo_error* error) {
                return operations.quantize_nearest(lane, &pending.tile, &pending.result, error);
              });
  } else {
    if (layer.optimizer_id != plan::kNearest) pending.metrics.expect(rows, pending.result);
    const plugin::HostServices::Turn turn(shared_.queue->turn(index));
    layer.optimizer->quantize(preparation.state, lane_.raw(), pending.tile, pending.result);
  }
  const plan::TileOffsets at = plan::tile_offsets(layer, rows);
  if (!slot.streams()) slot.copy_out(at.codes, at.total);
  lane_.record(slot.number());
}

// Memory that ran out may be enough for a smaller tile. What was issued is done again in pieces, each at once
// and to the end.
bool TileWorker::quantize_in_halves(Pending& pending, Slot& slot, const Error& error) {
  std::deque<Pending> pieces;  // which the lane reports to until it has come to rest
  const auto make = [&](const WorkItem& item) {
    shared_.say_once_that_tiles_are_smaller(lane_, error);
    Pending& piece = pieces.emplace_back(Pending{item, pending.number});
    issue(piece, slot, pending.tile.absmax);
    lane_.wait(slot.number());
    store_tile(piece, slot);
    return piece.result;
  };
  try {
    const auto whole = make_in_halves(*shared_.plan.layers[pending.item.index], pending.item, error, make);
    if (!whole) return false;
    pending.result = *whole;
  } catch (...) {
    come_to_rest(slot);
    throw;
  }
  pending.is_stored = true;
  return true;
}

void TileWorker::wait_for(Pending& pending, size_t slot) {
  if (pending.is_stored) return;
  try {
    lane_.wait(static_cast<uint32_t>(slot));
  } catch (const Error& error) {
    if (pending.item.kind != WorkKind::tile || !quantize_in_halves(pending, slots_[slot], error)) throw;
  }
}

void TileWorker::finish(size_t slot) {
  if (!pending_[slot]) return;
  try {
    finish_piece(*pending_[slot], slot);
  } catch (const plugin::OutOfMemory& error) {
    if (!set_aside_) throw;
    set_aside(slot, error);
    return;
  }
  shared_.tensors.finished(pending_[slot]->item);
  pending_[slot].reset();
}

void TileWorker::finish_piece(Pending& pending, size_t slot) {
  wait_for(pending, slot);
  if (pending.item.kind == WorkKind::absmax) {
    finish_absmax(pending);
    slots_[slot].shrink();
  } else if (pending.item.kind == WorkKind::merge) {
    finish_merge(pending, slots_[slot]);
  } else {
    finish_tile(pending, slots_[slot]);
  }
}

// At once, because a later piece of this lane may wait for it.
void TileWorker::set_aside(size_t slot, const plugin::OutOfMemory& why) {
  come_to_rest(slots_[slot]);
  slots_[slot].shrink();
  set_aside_(pending_[slot]->number, why);
  pending_[slot].reset();
}

void TileWorker::come_to_rest(const Slot& slot) {
  lane_.record(slot.number());
  lane_.wait(slot.number());
}

void TileWorker::finish_absmax(const Pending& pending) {
  const plan::PlannedLayer& layer = *shared_.plan.layers[pending.item.index];
  if (shared_.output == nullptr) {
    shared_.measured[pending.number] = pending.absmax;
    shared_.bytes_done += source_bytes(layer, pending.item);
    return;
  }
  check_values(shared_.plan.settings, layer, pending.tile, pending.absmax);
  shared_.layers[pending.item.index]->add_absmax(pending.absmax);
  shared_.idle.changed();
}

void TileWorker::finish_tile(Pending& pending, Slot& slot) {
  const uint32_t index = pending.item.index;
  if (!pending.is_stored) store_tile(pending, slot);
  slot.shrink();
  const bool is_last = shared_.layers[index]->store(pending.item.tile, pending.result);
  if (is_last && shared_.queue->contains(index)) shared_.queue->finished(index);
  shared_.bytes_done += source_bytes(*shared_.plan.layers[index], pending.item);
}

void TileWorker::store_tile(Pending& pending, Slot& slot) {
  const plan::PlannedLayer& layer = *shared_.plan.layers[pending.item.index];
  check_values(shared_.plan.settings, layer, pending.tile, pending.result);
  if (pending.metrics.any_lost()) {
    const plan::TileOffsets at = plan::tile_offsets(layer, pending.tile.source.shape[0]);
    const bool is_large = slot.streams();
    if (is_large) slot.bring_out(at.codes, at.total);
    if (!spare_) spare_.emplace(lane_, slot.number(), 64);
    send_rows_back(layer, pending.tile, pending.metrics, lane_, slot, *spare_, pending.result);
    if (is_large || plan::comes_whole(layer)) spare_.reset();  // too large to keep
  }
  write_parts(layer, pending.tile, slot, *shared_.output);
  if (layer.bias) correct_bias(layer, pending);
}

void TileWorker::correct_bias(const plan::PlannedLayer& layer, const Pending& pending) {
  const std::vector<float> delta = bias_correction(lane_, pending.tile, shared_.means->of(layer));
  const std::vector<std::byte> bytes =
      corrected_bias(shared_.source, *layer.bias, pending.tile.row_begin, delta);
  const uint64_t width = octavo::bytes_of(layer.bias->origin.tensor->info.dtype);
  shared_.output->write(layer.bias->output, pending.item.begin * width, bytes);
}

}  // namespace octavo::run
