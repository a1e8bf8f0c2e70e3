#include "run/run.hpp"

#include "base/cpus.hpp"
#include "base/error.hpp"
#include "run/run_lanes.hpp"
#include "run/signals.hpp"
#include "run/tile_worker.hpp"
#include "run/work.hpp"

#include <octavo/plugin.hpp>

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <algorithm>
#include <chrono>
#include <exception>
#include <fstream>
#include <mutex>
#include <optional>
#include <set>

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

// The first error of any lane, kept until all have ended.
class FirstError {
 public:
  void keep(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
  }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr error_;
};

// The pieces of a run, taken by lanes in their order. Thread safe.
class ItemList {
 public:
  explicit ItemList(const std::vector<WorkItem>& items) : items_(items) {}

  const WorkItem& operator[](size_t item) const { return items_[item]; }

  std::optional<size_t> take() {
    const std::lock_guard lock(mutex_);
    if (!handed_back_.empty()) return handed_back_.extract(handed_back_.begin()).value();
    if (next_ == items_.size()) return std::nullopt;
    return next_++;
  }
  // To be taken again, before later ones.
  void hand_back(size_t item) {
    const std::lock_guard lock(mutex_);
    handed_back_.insert(item);
  }
  bool has_more() const {
    const std::lock_guard lock(mutex_);
    return !handed_back_.empty() || next_ < items_.size();
  }
  size_t taken() const {
    const std::lock_guard lock(mutex_);
    return next_;
  }

 private:
  const std::vector<WorkItem>& items_;
  mutable std::mutex mutex_;
  size_t next_ = 0;
  std::set<size_t> handed_back_;
};

class LaneCrew {
 public:
  LaneCrew(RunShared& shared, const std::vector<WorkItem>& items, ChosenDevice& device,
           plugin::HostServices& services, const LaneNeeds& needs)
      : shared_(shared),
        items_(items),
        device_(device),
        services_(services),
        needs_(needs),
        running_(needs.lanes) {
    services_.set_parallel([this](int64_t count, plugin::ParallelTask task, void* context) {
      return shared_.idle.parallel(count, task, context);
    });
  }
  ~LaneCrew() { services_.set_parallel({}); }

  // Blocks until every lane has ended; calls `tick` about ten times a second on this thread.
  void work(const std::function<void(std::string_view tensor)>& tick) {
    boost::asio::thread_pool pool(needs_.lanes);
    for (uint32_t lane = 0; lane < needs_.lanes; ++lane) {
      boost::asio::post(pool, [this, lane] { lane_main(lane); });
    }
    std::unique_lock lock(mutex_);
    while (!ended_.wait_for(lock, std::chrono::milliseconds(100), [&] { return running_ == 0; })) {
      lock.unlock();
      if (StopSignals::received() != 0) stop();
      tick(current_tensor());
      lock.lock();
    }
    lock.unlock();
    pool.join();
    StopSignals::check();
    error_.rethrow();
  }

 private:
  void stop() {
    stop_.request_stop();
    services_.cancel();
  }

  void lane_main(uint32_t lane) noexcept {
    try {
      take_items(lane);
    } catch (...) {
      error_.keep(std::current_exception());
      stop();
    }
    const std::lock_guard lock(mutex_);
    --running_;
    ended_.notify_all();
  }

  void take_items(uint32_t lane) {
    octavo_lane_request request{};
    request.struct_size = sizeof request;
    request.index = lane;
    request.count = needs_.lanes;
    request.device = device_.devices[lane % devices()];
    request.slots = needs_.slots;
    request.slot_bytes = needs_.slot_bytes;
    TileWorker worker(shared_, device_.backend.open_lane(request), needs_.slots, needs_.slot_bytes);
    const std::stop_token token = stop_.get_token();
    const bool serves = worker.serves() && shared_.queue != nullptr;
    while (!token.stop_requested()) {
      if (serves) worker.prepare_ahead();
      if (const std::optional<size_t> item = items_.take()) {
        const std::optional<uint32_t> ahead = worker.start(items_[*item], *item, token);
        if (!ahead) continue;
        items_.hand_back(*item);
        shared_.idle.changed();
        worker.prepare(*ahead);
      } else {
        worker.drain();
        if (!wait_for_more(token, serves)) return;
      }
    }
  }

  // A lane without a piece runs tasks of other lanes' loops, and prepares layers for them if it serves. False
  // once no lane has a piece, or the run was stopped.
  bool wait_for_more(const std::stop_token& token, bool serves) {
    ++lanes_without_work_;
    shared_.idle.changed();
    const bool goes_on = shared_.idle.wait(token, [&] {
      return lanes_without_work_ == needs_.lanes || items_.has_more() ||
             (serves && shared_.queue->can_claim_ahead());
    });
    if (!goes_on || lanes_without_work_ == needs_.lanes) return false;
    --lanes_without_work_;
    return true;
  }

  // What is prepared lies in the memory of one device.
  size_t devices() const {
    return shared_.queue != nullptr && shared_.queue->prepares() ? 1 : device_.devices.size();
  }

  std::string_view current_tensor() const {
    const size_t taken = items_.taken();
    if (taken == 0) return {};
    const WorkItem& last = items_[taken - 1];
    if (last.kind == WorkKind::copy) return shared_.plan.copies[last.index].source->info.name;
    if (last.kind == WorkKind::activation_scale)
      return shared_.plan.layers[shared_.plan.activation_scales[last.index].layer]->source->info.name;
    if (last.kind == WorkKind::merge) return shared_.plan.merges[last.index].origin.tensor->info.name;
    return shared_.plan.layers[last.index]->source->info.name;
  }

  RunShared& shared_;
  ItemList items_;
  ChosenDevice& device_;
  plugin::HostServices& services_;
  LaneNeeds needs_;
  std::stop_source stop_;
  FirstError error_;
  std::mutex mutex_;
  std::condition_variable ended_;
  uint32_t running_;
  std::atomic<uint32_t> lanes_without_work_{0};
};

uint64_t source_bytes(const plan::Plan& plan) {
  uint64_t bytes = 0;
  for (const plan::PlannedCopy& copied : plan.copies) bytes += copied.source->info.bytes();
  for (const plan::PlannedMerge& merge : plan.merges) bytes += merge.origin.tensor->info.bytes();
  for (const auto& layer : plan.layers) bytes += layer->bytes_in;
  return bytes;
}

}  // namespace

uint32_t lane_count(const RunOptions& options, const ChosenDevice& device, size_t pieces) {
  uint32_t lanes = options.lanes != 0 ? options.lanes : device.backend.suggested_lanes();
  if (lanes == 0) lanes = usable_cpus();
  return static_cast<uint32_t>(std::clamp<size_t>(pieces, 1, lanes));
}

void run_lanes(RunShared& shared, const std::vector<WorkItem>& items, ChosenDevice& device,
               plugin::HostServices& services, const RunOptions& options, uint64_t bytes_total) {
  const LaneNeeds needs{lane_count(options, device, items.size()), device.backend.suggested_slots(),
                        plan::slot_bytes(shared.plan, options.tile_bytes)};
  const auto start = std::chrono::steady_clock::now();
  const auto tick = [&](std::string_view tensor) {
    if (!options.progress) return;
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    options.progress({.bytes_done = shared.bytes_done,
                      .bytes_total = bytes_total,
                      .tensor = std::string(tensor),
                      .seconds = passed.count(),
                      .tensors_done = shared.items_done,
                      .tensors_total = items.size()});
  };
  LaneCrew(shared, items, device, services, needs).work(tick);
  tick({});
}

RunReport run(const plan::Plan& plan, const Sources& sources, ChosenDevice& device,
              plugin::HostServices& services, Output& output, const RunOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const std::vector<WorkItem> items = cut_into_work(plan, output.offsets(), options.tile_bytes);
  std::optional<InputMeans> means;
  if (sources.calibration != nullptr) means.emplace(*sources.calibration);
  RunShared shared{.plan = plan,
                   .source = sources.checkpoint,
                   .output = &output,
                   .calibration = sources.calibration,
                   .means = means ? &*means : nullptr};
  LayerQueue queue(plan, layers_in_order(items), services, shared.idle,
                   lane_count(options, device, items.size()));
  shared.queue = &queue;
  for (const auto& layer : plan.layers) {
    const auto height = static_cast<uint64_t>(plan::tile_rows(*layer, options.tile_bytes));
    const uint64_t tiles = (static_cast<uint64_t>(layer->layer.rows) + height - 1) / height;
    shared.layers.push_back(std::make_unique<LayerRun>(*layer, tiles));
  }
  for (const plan::PlannedConstant& constant : plan.constants) {
    output.write(constant.output, 0, std::as_bytes(std::span(constant.bytes)));
  }
  run_lanes(shared, items, device, services, options, source_bytes(plan));

  RunReport report;
  for (const auto& layer : shared.layers) report.layers.push_back(layer->result());
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report.bytes_read = shared.bytes_done;
  report.peak_memory = peak_resident_bytes();
  report.lanes = lane_count(options, device, items.size());
  return report;
}

}  // namespace octavo::run
