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
#include <latch>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

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
        tried_(needs.lanes),
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
    if (lost_) {
      const std::string note = device_.note;
      device_ = ChosenDevice(std::move(*device_.fallback));
      device_.note = note;
    }
  }

 private:
  // What became of a device in the hands of one lane.
  enum class Ended { done, lost, no_memory };

  void stop() {
    stop_.request_stop();
    services_.cancel();
  }

  void lane_main(uint32_t lane) noexcept {
    try {
      Ended ended = work_on(device_, lane);
      // A lane that found no memory is not missed where another one works.
      if (ended == Ended::no_memory && opened_ > 0) {
        ++lanes_without_work_;
        shared_.idle.changed();
        ended = Ended::done;
      }
      if (ended != Ended::done) work_on(*device_.fallback, lane);
    } catch (...) {
      error_.keep(std::current_exception());
      stop();
    }
    const std::lock_guard lock(mutex_);
    --running_;
    ended_.notify_all();
  }

  // Takes pieces until none is left. Anything but `done` is only returned where a fallback is there, or for a
  // lane that is not missed.
  Ended work_on(const ChosenDevice& device, uint32_t lane) {
    std::optional<TileWorker> worker;
    std::optional<size_t> item;
    try {
      if (!open_worker(device, lane, worker)) return Ended::no_memory;
      take_items(*worker, item);
      return Ended::done;
    } catch (const plugin::DeviceLost& error) {
      if (!can_fall_back(device)) throw;
      // Every piece has its place in the output, so it may be made again from its beginning.
      if (worker) {
        for (const size_t number : worker->unfinished()) items_.hand_back(number);
      }
      if (item) items_.hand_back(*item);
      shared_.idle.changed();
      note_once(lost_,
                fmt::format("{} carries on without {}: {}", device.fallback->id, device.id, error.what()));
      return Ended::lost;
    }
  }

  // `item`: the piece that is being started.
  void take_items(TileWorker& worker, std::optional<size_t>& item) {
    const std::stop_token token = stop_.get_token();
    const bool serves = worker.serves() && shared_.queue != nullptr;
    while (!token.stop_requested()) {
      if (serves) worker.prepare_ahead();
      item = items_.take();
      if (item) {
        const std::optional<uint32_t> ahead = worker.start(items_[*item], *item, token);
        if (!ahead) continue;
        items_.hand_back(*std::exchange(item, std::nullopt));
        shared_.idle.changed();
        worker.prepare(*ahead);
      } else {
        worker.drain();
        if (!wait_for_more(token, serves)) return;
      }
    }
  }

  // What optimizers have prepared is lost with a device.
  bool can_fall_back(const ChosenDevice& device) const {
    return device.fallback != nullptr && !(shared_.queue != nullptr && shared_.queue->prepares());
  }

  // False: there is no memory for this lane, but for others of the device or for its fallback.
  bool open_worker(const ChosenDevice& device, uint32_t lane, std::optional<TileWorker>& worker) {
    const bool first_choice = &device == &device_;
    try {
      octavo_lane_request request{};
      request.struct_size = sizeof request;
      request.index = lane;
      request.count = needs_.lanes;
      request.device = device.devices[lane % devices(device)];
      request.slots = needs_.slots;
      request.slot_bytes = needs_.slot_bytes;
      worker.emplace(shared_, device.backend.open_lane(request), needs_.slots, needs_.slot_bytes);
    } catch (const plugin::OutOfMemory& error) {
      if (!first_choice) throw;
      tried_.arrive_and_wait();
      if (opened_ == 0 && !can_fall_back(device)) throw;
      note_once(short_, opened_ > 0 ? fmt::format("fewer lanes of {}: {}", device.id, error.what())
                                    : fmt::format("{} works instead of {}: {}", device.fallback->id,
                                                  device.id, error.what()));
      return false;
    } catch (...) {
      if (first_choice) tried_.count_down();
      throw;
    }
    if (first_choice) {
      ++opened_;
      tried_.count_down();
    }
    return true;
  }

  void note_once(std::atomic<bool>& said, const std::string& text) {
    if (said.exchange(true)) return;
    const std::lock_guard lock(mutex_);
    device_.note = device_.note.empty() ? text : device_.note + "; " + text;
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
  size_t devices(const ChosenDevice& device) const {
    return shared_.queue != nullptr && shared_.queue->prepares() ? 1 : device.devices.size();
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
  std::latch tried_;  // the lanes that have tried to open: one without memory waits to know of the others
  std::atomic<uint32_t> opened_{0};
  std::atomic<bool> lost_{false};
  std::atomic<bool> short_{false};
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
