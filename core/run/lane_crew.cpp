#include "run/lane_crew.hpp"

#include "base/crew.hpp"
#include "run/notes.hpp"
#include "run/signals.hpp"

#include <fmt/format.h>

#include <chrono>
#include <utility>

namespace octavo::run {

void FirstError::keep(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  if (!error_) error_ = std::move(error);
}

void FirstError::rethrow() const {
  if (error_) std::rethrow_exception(error_);
}

LaneCrew::LaneCrew(RunShared& shared, const std::vector<WorkItem>& items, ChosenDevice& device,
                   plugin::HostServices& services, const LaneNeeds& needs)
    : shared_(shared),
      items_(items),
      device_(device),
      services_(services),
      needs_(needs),
      queue_(items.size()),
      tried_(needs.lanes),
      running_(needs.lanes) {
  services_.set_parallel([this](int64_t count, plugin::ParallelTask task, void* context) {
    return shared_.idle.parallel(count, task, context);
  });
}

LaneCrew::~LaneCrew() { services_.set_parallel({}); }

void LaneCrew::work(const std::function<void(std::string_view tensor)>& tick) {
  Crew crew(needs_.lanes, [this](unsigned lane) { lane_main(lane); });
  if (crew.size() < needs_.lanes) do_without(needs_.lanes - crew.size());
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock, std::chrono::milliseconds(100), [&] { return running_ == 0; })) {
    lock.unlock();
    if (StopSignals::received() != 0) stop();
    tick(current_tensor());
    lock.lock();
  }
  lock.unlock();
  crew.join();
  StopSignals::check();
  error_.rethrow();
  if (given_up_) device_.use_fallback();
}

// The system gave no threads for these. Their pieces are the others'.
void LaneCrew::do_without(uint32_t lanes) {
  tried_.count_down(lanes);
  {
    const std::lock_guard lock(mutex_);
    running_ -= lanes;
  }
  lanes_without_work_ += lanes;
  shared_.idle.changed();
  note_once(short_, fmt::format("fewer lanes of {}: no more threads can be started", device_.id));
}

void LaneCrew::stop() {
  stop_.request_stop();
  services_.cancel();
}

void LaneCrew::lane_main(uint32_t lane) noexcept {
  try {
    const Outcome outcome = work_on(device_, lane);
    if (outcome == Outcome::no_memory && opened_ > 0) {
      // Not missed where another lane of the device works.
      ++lanes_without_work_;
      shared_.idle.changed();
    } else if (outcome != Outcome::done) {
      work_on(*device_.fallback, lane);
    }
  } catch (...) {
    error_.keep(std::current_exception());
    stop();
  }
  const std::lock_guard lock(mutex_);
  --running_;
  ended_.notify_all();
}

// Takes pieces until none is left. Anything but `done` is only returned where a fallback is there.
LaneCrew::Outcome LaneCrew::work_on(const ChosenDevice& device, uint32_t lane) {
  std::optional<TileWorker> elsewhere;  // before the worker, which hands pieces to it
  std::optional<TileWorker> worker;
  std::optional<size_t> piece;
  try {
    const bool may_set_aside = &device == &device_ && device.fallback != nullptr && !prepares();
    if (!open_worker(device, lane, may_set_aside ? set_aside(elsewhere, lane) : SetAside(), worker))
      return Outcome::no_memory;
    take_pieces(*worker, piece, [&](size_t number) { work_elsewhere(elsewhere, lane, number); });
    return Outcome::done;
  } catch (const plugin::BackendGaveUp& error) {
    if (device.fallback == nullptr || prepares()) throw;
    give_up(device, worker ? &*worker : nullptr, piece, error.what());
  }
  return Outcome::given_up;
}

// Every piece has its place in the output, so it may be made again from its beginning.
void LaneCrew::give_up(const ChosenDevice& device, const TileWorker* worker, std::optional<size_t> piece,
                       const std::string& why) {
  std::vector<size_t> unfinished = worker == nullptr ? std::vector<size_t>() : worker->unfinished();
  if (piece) unfinished.push_back(*piece);
  queue_.give_back(unfinished);
  shared_.idle.changed();
  note_once(given_up_, fmt::format("{} carries on without {}: {}", device.fallback->id, device.id, why));
}

plugin::Lane LaneCrew::open_lane(const ChosenDevice& device, uint32_t lane) const {
  octavo_lane_request request{};
  request.struct_size = sizeof request;
  request.index = lane;
  request.count = needs_.lanes;
  request.device = device.devices[lane % device.devices.size()];
  request.slots = needs_.slots;
  request.slot_bytes = needs_.slot_bytes;
  return device.backend.open_lane(request, device.works_on_host() || lane < needs_.preparing);
}

// False: there is no memory for this lane, but for others of the device or for its fallback.
bool LaneCrew::open_worker(const ChosenDevice& device, uint32_t lane, SetAside set_aside,
                           std::optional<TileWorker>& worker) {
  const bool is_first_choice = &device == &device_;
  try {
    worker.emplace(shared_, open_lane(device, lane), needs_.slots, needs_.slot_bytes, std::move(set_aside));
  } catch (const plugin::OutOfMemory& error) {
    if (is_first_choice) tried_.count_down();
    // The first lane is the one that prepares.
    if (!is_first_choice || (prepares() && lane == 0)) throw;
    tried_.wait();
    if (opened_ == 0 && device.fallback == nullptr) throw;
    note_once(short_, opened_ > 0 ? fmt::format("fewer lanes of {}: {}", device.id, error.what())
                                  : fmt::format("{} works instead of {}: {}", device.fallback->id, device.id,
                                                error.what()));
    return false;
  } catch (...) {
    if (is_first_choice) tried_.count_down();
    throw;
  }
  if (is_first_choice) {
    ++opened_;
    tried_.count_down();
  }
  return true;
}

// `piece`: the one that the lane has and that the worker does not count as its own.
void LaneCrew::take_pieces(TileWorker& worker, std::optional<size_t>& piece,
                           const std::function<void(size_t piece)>& elsewhere) {
  const std::stop_token token = stop_.get_token();
  const bool serves = worker.serves() && shared_.queue != nullptr;
  while (!token.stop_requested()) {
    if (serves) worker.prepare_ahead();
    piece = queue_.take();
    if (piece && without_memory_.has(items_[*piece])) {
      worker.drain();  // what the piece waits for may be among it
      elsewhere(*piece);
      piece.reset();
    } else if (piece) {
      const std::optional<uint32_t> ahead = worker.start(items_[*piece], *piece, token);
      if (ahead) {
        queue_.give_back({*piece});
        shared_.idle.changed();
      }
      piece.reset();
      if (ahead) worker.prepare(*ahead);
    } else {
      worker.drain();
      if (!wait_for_more(token, serves)) return;
    }
  }
}

SetAside LaneCrew::set_aside(std::optional<TileWorker>& elsewhere, uint32_t lane) {
  return [this, &elsewhere, lane](size_t number, const plugin::OutOfMemory& why) {
    without_memory_.add(items_[number]);
    note_once(some_set_aside_,
              fmt::format("{} works on what {} has no memory for, {} first: {}", device_.fallback->id,
                          device_.id, printable(tensor_of(items_[number])), why.what()));
    work_elsewhere(elsewhere, lane, number);
  };
}

void LaneCrew::work_elsewhere(std::optional<TileWorker>& elsewhere, uint32_t lane, size_t piece) {
  const ChosenDevice& fallback = *device_.fallback;
  if (!elsewhere) elsewhere.emplace(shared_, open_lane(fallback, lane), 1, needs_.slot_bytes);
  elsewhere->start(items_[piece], piece, stop_.get_token());
  elsewhere->drain();
}

// A lane without a piece runs tasks of other lanes' loops, and prepares layers for them if it serves. False
// once no lane has a piece, or the run was stopped.
bool LaneCrew::wait_for_more(const std::stop_token& token, bool serves) {
  ++lanes_without_work_;
  shared_.idle.changed();
  const bool goes_on = shared_.idle.wait(token, [&] {
    return lanes_without_work_ == needs_.lanes || queue_.has_more() ||
           (serves && shared_.queue->can_claim_ahead());
  });
  if (!goes_on || lanes_without_work_ == needs_.lanes) return false;
  --lanes_without_work_;
  return true;
}

void LaneCrew::note_once(std::atomic<bool>& said, const std::string& text) {
  if (said.exchange(true)) return;
  const std::lock_guard lock(mutex_);
  add_note(device_.note, text);
}

std::string_view LaneCrew::tensor_of(const WorkItem& item) const {
  if (item.kind == WorkKind::copy) return shared_.plan.copies[item.index].source->info.name;
  if (item.kind == WorkKind::activation_scale)
    return shared_.plan.layers[shared_.plan.activation_scales[item.index].layer]->source->info.name;
  if (item.kind == WorkKind::merge) return shared_.plan.merges[item.index].origin.tensor->info.name;
  return shared_.plan.layers[item.index]->source->info.name;
}

std::string_view LaneCrew::current_tensor() const {
  const size_t taken = queue_.taken();
  return taken == 0 ? std::string_view() : tensor_of(items_[taken - 1]);
}

}  // namespace octavo::run
