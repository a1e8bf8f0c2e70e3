// The lanes of a run at work, each on a thread of its own, until no piece is left.
//
// A lane that has no piece may still get one: another lane hands back what it could not finish, because its
// device was lost or had no memory, or because it prepares a layer meanwhile. So lanes wait (and help others,
// see IdleLanes) until none of them has a piece.
#pragma once

#include "run/idle_lanes.hpp"
#include "run/run_lanes.hpp"
#include "run/tile_worker.hpp"
#include "run/without_memory.hpp"
#include "run/work_queue.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <latch>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::run {

// The first error of any lane, kept until all have ended.
class FirstError {
 public:
  void keep(std::exception_ptr error);
  void rethrow() const;

 private:
  std::mutex mutex_;
  std::exception_ptr error_;
};

class LaneCrew {
 public:
  // A device that is lost is replaced by its fallback, here and in `device`, where nothing has been prepared
  // in its memory; where something has, that is the caller's business.
  LaneCrew(RunShared& shared, const std::vector<WorkItem>& items, ChosenDevice& device,
           plugin::HostServices& services, const LaneNeeds& needs);
  ~LaneCrew();
  LaneCrew(const LaneCrew&) = delete;
  LaneCrew& operator=(const LaneCrew&) = delete;

  // Blocks until every lane has ended; calls `tick` about ten times a second on this thread. Throws the first
  // error of any lane.
  void work(const std::function<void(std::string_view tensor)>& tick);

 private:
  // What became of a device in the hands of one lane.
  enum class Outcome { done, given_up, no_memory };

  void do_without(uint32_t lanes);
  void stop();
  void lane_main(uint32_t lane) noexcept;
  Outcome work_on(const ChosenDevice& device, uint32_t lane);
  plugin::Lane open_lane(const ChosenDevice& device, uint32_t lane) const;
  bool open_worker(const ChosenDevice& device, uint32_t lane, SetAside set_aside,
                   std::optional<TileWorker>& worker);
  void take_pieces(TileWorker& worker, std::optional<size_t>& piece,
                   const std::function<void(size_t piece)>& elsewhere);
  // For one piece, on a lane of the fallback that is opened when it is first needed.
  void work_elsewhere(std::optional<TileWorker>& elsewhere, uint32_t lane, size_t piece);
  SetAside set_aside(std::optional<TileWorker>& elsewhere, uint32_t lane);
  bool wait_for_more(const std::stop_token& token, bool serves);
  void give_up(const ChosenDevice& device, const TileWorker* worker, std::optional<size_t> piece,
               const std::string& why);
  bool prepares() const { return shared_.queue != nullptr && shared_.queue->prepares(); }
  void note_once(std::atomic<bool>& said, const std::string& text);
  std::string_view tensor_of(const WorkItem& item) const;
  std::string_view current_tensor() const;

  RunShared& shared_;
  const std::vector<WorkItem>& items_;
  ChosenDevice& device_;
  plugin::HostServices& services_;
  LaneNeeds needs_;
  WorkQueue queue_;
  // Counts the lanes that have tried to open, so that one without memory knows of the others.
  std::latch tried_;
  std::atomic<uint32_t> opened_{0};
  std::atomic<uint32_t> lanes_without_work_{0};
  std::atomic<bool> given_up_{false};
  std::atomic<bool> short_{false};
  std::atomic<bool> some_set_aside_{false};
  TensorsWithoutMemory without_memory_;
  std::stop_source stop_;
  FirstError error_;
  std::mutex mutex_;
  std::condition_variable ended_;
  uint32_t running_;
};

}  // namespace octavo::run
