#include "run/tile_worker.hpp"

#include "calibration/samples.hpp"
#include "plan/activation_scales.hpp"
#include "plan/tile_shape.hpp"
#include "run/bad_values.hpp"
#include "run/bias_correction.hpp"
#include "run/row_source.hpp"
#include "run/tile_halves.hpp"
#include "run/tile_parts.hpp"

#include <octavo/grid.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <utility>

namespace octavo::run {
namespace {

constexpr int kMostHalvings = 3;

void zero_nonfinite(octavo_tensor& rows) {
  for (int64_t r = 0; r < rows.shape[0]; ++r) {
    auto* row = octavo::row_of<float>(rows, r);
    std::replace_if(
        row, row + rows.shape[1], [](float value) { return !std::isfinite(value); }, 0.0F);
  }
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void say_debug(plugin::Lane& lane, const std::string& text) {
  const octavo_host& host = *lane.raw().host;
  host.log(host.context, OCTAVO_LOG_DEBUG, text.c_str());
}

octavo_inputs inputs_of(const SharedInputs& shared) {
  octavo_inputs inputs = shared.samples->view();
  inputs.layers = shared.layers;
  return inputs;
}

}  // namespace

void RunShared::say_once_that_tiles_are_smaller(plugin::Lane& lane, const Error& error) {
  if (tiles_are_smaller.exchange(true)) return;
  const octavo_host& host = *lane.raw().host;
  const std::string text = fmt::format("memory ran out ({}); smaller tiles go on", error.what());
  host.log(host.context, OCTAVO_LOG_WARNING, text.c_str());
}

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

// The scale of a layer's activations: their largest magnitude in the grid's basis, over the rows that are
// known.
void TileWorker::find_activation_scale(const WorkItem& item, Slot& slot) {
  const plan::PlannedActivationScale& wanted = shared_.plan.activation_scales[item.index];
  const plan::PlannedLayer& layer = *shared_.plan.layers[wanted.layer];
  const bool is_smoothed = layer.origin.columns != nullptr && !layer.origin.columns->values.empty();
  const float absmax = is_smoothed ? absmax_of_smoothed_inputs(layer, slot) : absmax_of_inputs(layer, slot);
  const std::vector<float> scales(wanted.elements, plan::activation_scale(absmax));
  shared_.output->write(wanted.output, 0, std::as_bytes(std::span(scales)));
  ++shared_.items_done;
}

float TileWorker::absmax_of_smoothed_inputs(const plan::PlannedLayer& layer, Slot& slot) {
  const calibration::Samples samples(*shared_.calibration, *layer.inputs, layer.origin.columns->values);
  const octavo_tensor& rows = samples.view().samples;
  if (rows.data == nullptr)
    return *std::max_element(samples.channel_max().begin(), samples.channel_max().end());
  const uint64_t row_bytes = static_cast<uint64_t>(rows.shape[1]) * sizeof(float);
  return absmax_of_rows(
      layer, rows.shape[0], OCTAVO_F32, slot, [&](int64_t begin, int64_t, std::span<std::byte> bytes) {
        const auto* from = static_cast<const std::byte*>(rows.data);
        std::memcpy(bytes.data(), from + static_cast<uint64_t>(begin) * row_bytes, bytes.size());
      });
}

float TileWorker::absmax_of_inputs(const plan::PlannedLayer& layer, Slot& slot) {
  const calibration::InputGroup& group = *layer.inputs;
  return absmax_of_rows(layer, static_cast<int64_t>(group.rows.size()), group.contents.samples->info.dtype,
                        slot, [&](int64_t begin, int64_t count, std::span<std::byte> bytes) {
                          shared_.calibration->read(group, begin, count, bytes);
                        });
}

float TileWorker::absmax_of_rows(const plan::PlannedLayer& layer, int64_t rows, uint32_t dtype, Slot& slot,
                                 const ReadInputs& read) {
  const int64_t cols = layer.layer.cols;
  const uint64_t row_bytes = static_cast<uint64_t>(cols) * octavo::bytes_of(dtype);
  const auto height = static_cast<int64_t>(std::max<uint64_t>(plan::kTileBytes / row_bytes, 1));
  float absmax = 0;
  for (int64_t begin = 0; begin < rows; begin += height) {
    const int64_t count = std::min(height, rows - begin);
    const uint64_t bytes = static_cast<uint64_t>(count) * row_bytes;
    read(begin, count, slot.host(bytes).first(bytes));
    slot.copy_in(bytes);
    const octavo_tensor values = slot.view(0, dtype, count, cols);
    octavo_absmax_result found{};
    found.struct_size = sizeof found;
    lane_.run("absmax", [&](const octavo_operations& operations, octavo_lane* lane, octavo_error* error) {
      return operations.absmax(lane, &layer.grid, &values, 0, &found, error);
    });
    lane_.record(slot.number());
    lane_.wait(slot.number());
    absmax = std::max(absmax, found.absmax);
  }
  return absmax;
}

void TileWorker::prepare(uint32_t index) {
  const plan::PlannedLayer& layer = *shared_.plan.layers[index];
  const octavo_layer& shape = layer.layer;
  const plugin::HostServices::Turn turn(shared_.queue->turn(index));
  const auto start = std::chrono::steady_clock::now();
  double read = 0;
  PreparedLayer prepared;
  prepared.shared =
      shared_.queue->shared_inputs(index, [&](SharedInputs& shared, const calibration::InputGroup& group) {
        shared.samples = std::make_unique<calibration::Samples>(
            *shared_.calibration, group,
            layer.origin.columns == nullptr ? std::span<const float>() : layer.origin.columns->values);
        if (shared_.means != nullptr && layer.origin.columns == nullptr)
          shared_.means->keep(group, shared.samples->mean());
        read = seconds_since(start);
        shared.state = layer.optimizer->prepare_inputs(lane_.raw(), inputs_of(shared), layer.grid);
      });
  const double made = seconds_since(start);
  const plugin::ReadRows read_rows = [&](int64_t row_begin, octavo_tensor& target) {
    make_rows_on_host(shared_.source, layer.origin, {row_begin, target.shape[0], shape.cols}, target);
    if (shared_.plan.settings.nonfinite == plan::Nonfinite::zero) zero_nonfinite(target);
  };
  std::optional<octavo_inputs> inputs;
  if (prepared.shared) inputs = inputs_of(*prepared.shared);
  prepared.preparation =
      layer.optimizer->prepare(lane_.raw(), shape, layer.grid, read_rows, inputs ? &*inputs : nullptr,
                               prepared.shared ? prepared.shared->state : plugin::OptimizerState{});
  say_debug(lane_,
            fmt::format("{}: inputs read in {:.1f} ms, what shares them prepared in {:.1f}, itself in {:.1f}",
                        printable(layer.name), 1e3 * read, 1e3 * (made - read),
                        1e3 * (seconds_since(start) - made)));
  shared_.layers[index]->set_verdict(prepared.preparation.verdict, prepared.preparation.reason);
  shared_.queue->prepared(index, std::move(prepared));
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
    } else if (prepares && (ahead = queue.claim_ahead())) {
      return false;
    } else if (!shared_.idle.wait(stop, [&] { return queue.can_go_on(index, prepares); })) {
      return false;
    }
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
    if (layer.optimizer_id != "nearest") pending.metrics.expect(rows, pending.result);
    const plugin::HostServices::Turn turn(shared_.queue->turn(index));
    layer.optimizer->quantize(preparation.state, lane_.raw(), pending.tile, pending.result);
  }
  const plan::TileOffsets at = plan::tile_offsets(layer, rows);
  slot.copy_out(at.codes, at.total);
  lane_.record(slot.number());
}

// Memory that ran out may be enough for a smaller tile. What was issued is done again in two halves, each at
// once and to the end; the halves of a half likewise. False where the tile cannot be halved, or the error is
// another one.
bool TileWorker::quantize_in_halves(Pending& pending, Slot& slot, const Error& error) {
  const plan::PlannedLayer& layer = *shared_.plan.layers[pending.item.index];
  const std::vector<WorkItem> halves = plan_halves(layer, pending.item);
  if (error.code() != ErrorCode::resources || halves.empty() || pending.halvings == kMostHalvings)
    return false;
  shared_.say_once_that_tiles_are_smaller(lane_, error);
  octavo_tile_result sum{};
  for (const WorkItem& item : halves) {
    Pending half{item, pending.number};
    half.halvings = pending.halvings + 1;
    try {
      issue(half, slot, pending.tile.absmax);
      lane_.wait(slot.number());
      store_tile(half, slot);
    } catch (const Error& again) {
      half.tile.absmax = pending.tile.absmax;
      if (!quantize_in_halves(half, slot, again)) {
        come_to_rest(slot);
        throw;
      }
    }
    add_half(half.result, sum);
  }
  octavo::copy_text("stored in smaller tiles, because memory ran out", sum.note);
  pending.result = sum;
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
  pending_[slot].reset();
  ++shared_.items_done;
}

void TileWorker::finish_piece(Pending& pending, size_t slot) {
  wait_for(pending, slot);
  if (pending.item.kind == WorkKind::absmax) {
    finish_absmax(pending);
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
    if (!spare_) spare_.emplace(lane_, slot.number(), 64);
    send_rows_back(layer, pending.tile, pending.metrics, lane_, slot, *spare_, pending.result);
    if ((layer.wants & OCTAVO_WANTS_WHOLE_LAYER) != 0) spare_.reset();  // too large to keep
  }
  const plan::TileOffsets at = plan::tile_offsets(layer, pending.tile.source.shape[0]);
  write_parts(layer, pending.tile, slot.host(at.total).data(), *shared_.output);
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
