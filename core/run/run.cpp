#include "run/run.hpp"

#include "base/cpus.hpp"
#include "base/error.hpp"
#include "run/lane_count.hpp"
#include "run/lane_crew.hpp"
#include "run/notes.hpp"
#include "run/run_lanes.hpp"
#include "run/warm_up.hpp"
#include "run/work.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <memory>
#include <optional>
#include <span>

namespace octavo::run {
namespace {

// getrusage would count what the parent process held before it became this program.
uint64_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  }
  return 0;
}

// Layers that are prepared ahead of their tiles. On a device what they were prepared with lies in its memory:
// those that lanes are about and two, but no more than there are lanes or a quarter of it holds.
uint32_t layers_ahead(const plan::Plan& plan, const ChosenDevice& device, const LaneNeeds& needs) {
  if (device.memory_bytes == 0) return needs.lanes;
  uint64_t largest = 1;
  for (const auto& layer : plan.layers) largest = std::max(largest, plan::optimizer_bytes(*layer));
  const uint64_t wanted = std::min(needs.lanes, needs.preparing + 2);
  return static_cast<uint32_t>(std::clamp<uint64_t>(device.memory_bytes / 4 / largest, 1, wanted));
}

uint64_t source_bytes(const plan::Plan& plan) {
  uint64_t bytes = 0;
  for (const plan::PlannedCopy& copied : plan.copies) bytes += copied.source->info.bytes();
  for (const plan::PlannedMerge& merge : plan.merges) bytes += merge.origin.tensor->info.bytes();
  for (const auto& layer : plan.layers) bytes += layer->bytes_in;
  return bytes;
}

}  // namespace

plan::TileSizes tile_sizes(const RunOptions& options, const ChosenDevice& device) {
  if (options.tile_bytes) return {*options.tile_bytes, *options.tile_bytes};
  return {plan::kTileBytes, device.works_on_host() ? plan::kTileBytes : plan::kTallTileBytes};
}

LaneNeeds lane_needs(const RunShared& shared, const RunOptions& options, const ChosenDevice& device,
                     size_t pieces) {
  const plan::Plan& plan = shared.plan;
  const LaneSetting setting{
      .suggested = device.backend.suggested_lanes(),
      .devices = static_cast<uint32_t>(device.devices.size()),
      .cpus = usable_cpus(),
      .on_host = device.works_on_host(),
      .side_by_side = shared.output != nullptr && shared.output->is_written_side_by_side()};
  const uint32_t wanted = options.lanes != 0 ? options.lanes : usual_lanes(plan, setting);
  const auto lanes = static_cast<uint32_t>(std::clamp<size_t>(pieces, 1, wanted));
  return {lanes, preparing_lanes(plan, setting.on_host, lanes), device.backend.suggested_slots(),
          plan::slot_bytes(plan, tile_sizes(options, device).usual)};
}

void run_lanes(RunShared& shared, const std::vector<WorkItem>& items, ChosenDevice& device,
               plugin::HostServices& services, const LaneNeeds& needs, const RunOptions& options,
               uint64_t bytes_total) {
  shared.tensors.expect(items);
  const WarmUp warm_up(shared.plan, device);
  const auto start = std::chrono::steady_clock::now();
  const auto tick = [&](std::string_view tensor) {
    if (!options.progress) return;
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    options.progress({.bytes_done = shared.bytes_done,
                      .bytes_total = bytes_total,
                      .tensor = std::string(tensor),
                      .seconds = passed.count(),
                      .tensors_done = shared.tensors.done(),
                      .tensors_total = shared.tensors.total()});
  };
  LaneCrew(shared, items, device, services, needs).work(tick);
  tick({});
}

namespace {

std::vector<std::unique_ptr<LayerRun>> layer_runs(const plan::Plan& plan, const plan::TileSizes& sizes) {
  std::vector<std::unique_ptr<LayerRun>> runs;
  for (const auto& layer : plan.layers) {
    const auto height = static_cast<uint64_t>(plan::tile_rows(*layer, sizes));
    const uint64_t tiles = (static_cast<uint64_t>(layer->layer.rows) + height - 1) / height;
    runs.push_back(std::make_unique<LayerRun>(*layer, tiles));
  }
  return runs;
}

// Tensors whose bytes are in the plan. Small ones, for which to wait while the file is being allocated would
// take longer than all the rest.
void write_known_tensors(const plan::Plan& plan, Output& output) {
  for (const plan::PlannedConstant& constant : plan.constants) {
    output.write(constant.output, 0, std::as_bytes(std::span(constant.bytes)));
  }
  for (const auto& group : plan.smoothings) {
    if (group->stored_in) output.write(*group->stored_in, 0, std::as_bytes(std::span(group->factors.values)));
  }
}

RunReport run_on(const plan::Plan& plan, const Sources& sources, ChosenDevice& device,
                 plugin::HostServices& services, Output& output, const RunOptions& options) {
  const plan::TileSizes sizes = tile_sizes(options, device);
  const std::vector<WorkItem> items = cut_into_work(plan, output.offsets(), sizes);
  std::optional<InputMeans> means;
  if (sources.calibration != nullptr) means.emplace(*sources.calibration);
  RunShared shared{.plan = plan,
                   .source = sources.checkpoint,
                   .output = &output,
                   .calibration = sources.calibration,
                   .means = means ? &*means : nullptr};
  const LaneNeeds needs = lane_needs(shared, options, device, items.size());
  LayerQueue queue(plan, layers_in_order(items), services, shared.idle, layers_ahead(plan, device, needs));
  shared.queue = &queue;
  shared.layers = layer_runs(plan, sizes);
  run_lanes(shared, items, device, services, needs, options, source_bytes(plan));
  write_known_tensors(plan, output);

  RunReport report;
  for (const auto& layer : shared.layers) report.layers.push_back(layer->result());
  report.bytes_read = shared.bytes_done;
  report.peak_memory = peak_resident_bytes();
  report.lanes = needs.lanes;  // of the device that began; its fallback may have others
  return report;
}

// What was prepared went with the device's memory, so all of the work is done again, each piece in its place.
// (Pieces may be other ones there: tiles are cut for the device.)
void begin_again(ChosenDevice& device, plugin::HostServices& services, Output& output, const Error& error) {
  add_note(device.note,
           fmt::format("{} does all of it, not {}: {}", device.fallback->id, device.id, error.what()));
  device.use_fallback();
  services.resume();
  output.begin_again();
}

// A device whose backend cannot do a grid at all is left for its fallback before the run. In host memory the
// reference does what a backend has not.
void leave_unsupported(const plan::Plan& plan, ChosenDevice& device) {
  if (device.works_on_host()) return;
  for (const auto& layer : plan.layers) {
    const std::string why = device.backend.unsupported(OCTAVO_OP_QUANTIZE_NEAREST, &layer->grid, {});
    if (why.empty()) continue;
    const std::string text =
        fmt::format("{} cannot store {} as {}: {}", device.id, printable(layer->name), layer->stored_as, why);
    if (device.fallback == nullptr)
      throw Error(ErrorCode::resources, "[device] " + text,
                  "--device cpu does it; --device auto takes what can");
    add_note(device.note, fmt::format("{} does all of it: {}", device.fallback->id, text));
    device.use_fallback();
    return leave_unsupported(plan, device);
  }
}

// What is prepared for a layer's tiles lies in the memory of one device.
void keep_to_one_device(const plan::Plan& plan, ChosenDevice& device) {
  const auto is_prepared = [](const auto& layer) { return plan::is_prepared(*layer); };
  if (device.devices.size() < 2 || std::none_of(plan.layers.begin(), plan.layers.end(), is_prepared)) return;
  device.devices.resize(1);
  add_note(device.note, fmt::format("{}:{} does all of it: what is prepared for a layer stays on one device",
                                    device.id, device.devices.front()));
}

}  // namespace

RunReport run(const plan::Plan& plan, const Sources& sources, ChosenDevice& device,
              plugin::HostServices& services, Output& output, const RunOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  leave_unsupported(plan, device);
  keep_to_one_device(plan, device);
  std::optional<RunReport> report;
  while (!report) {
    try {
      report = run_on(plan, sources, device, services, output, options);
    } catch (const plugin::BackendGaveUp& error) {
      if (device.fallback == nullptr) throw;
      begin_again(device, services, output, error);
    }
  }
  report->seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return *report;
}

}  // namespace octavo::run
