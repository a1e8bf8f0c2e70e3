// What the host offers to plugins (octavo_host): log, cancellation, byte leases, parallel loops, random
// numbers, the reference operations.
#pragma once

#include <octavo/abi/backend.h>
#include <octavo/abi/plugin.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>

namespace octavo::plugin {

using ParallelTask = octavo_status (*)(void* task_context, std::int64_t index);
// Runs task(context, i) for i in [0, count), waits for all of them, and returns the status of the failed one
// with the smallest index, or OCTAVO_OK. May throw.
using Parallel = std::function<octavo_status(std::int64_t count, ParallelTask task, void* context)>;

// One for a run, alive longer than every plugin handle made with it. Neither copied nor moved: plugins hold
// its address. All functions may be called from any thread, but for set_parallel.
class HostServices {
 public:
  // `reference`: the reference operations, alive as long as the process. `max_ram`: bytes that leases may
  // hold at a time; 0: no limit.
  explicit HostServices(const octavo_operations& reference, std::uint64_t max_ram = 0);
  HostServices(const HostServices&) = delete;
  HostServices& operator=(const HostServices&) = delete;

  const octavo_host* host() const { return &host_; }

  // While no plugin asks for it; without one, loops run in the calling thread, in the order of the indices.
  void set_parallel(Parallel parallel) { parallel_ = std::move(parallel); }

  // Asks everything to stop: host.cancelled answers 1 from now on and waiting leases return OCTAVO_CANCELLED.
  // Not for signal handlers (it wakes waiting threads).
  void cancel();
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

  // The lease functions for the host's own use. lease returns false if the run was cancelled, try_lease also
  // where it would have to wait; can_lease says so beforehand.
  bool lease(std::uint64_t bytes);
  bool try_lease(std::uint64_t bytes);
  void lease_at_once(std::uint64_t bytes);  // whatever the limit
  bool can_lease(std::uint64_t bytes) const;
  void give_back(std::uint64_t bytes);

  // Work that needs memory has a place in an order, from open_turn to close_turn. A lease for the first one
  // that is open never waits: it could only wait for work behind it, which may be waiting for it. So that
  // this does not exceed the limit, a lease for another place waits until all before it are settled: they
  // have what they need.
  void open_turn(std::uint64_t place);
  void settle_turn(std::uint64_t place);
  void close_turn(std::uint64_t place);
  // While it lives, leases that the calling thread asks for are for the work at this place.
  class Turn {
   public:
    explicit Turn(std::optional<std::uint64_t> place);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    std::optional<std::uint64_t> before_;
  };
  std::uint64_t leased() const;
  std::uint64_t most_leased() const;  // the largest sum held at a time

 private:
  bool fits(std::uint64_t bytes) const;  // with the lock held, as the next one
  bool may_lease(std::uint64_t bytes, std::optional<std::uint64_t> place) const;
  octavo_status run_parallel(std::int64_t count, ParallelTask task, void* context) const;

  static void log(void* context, std::uint32_t level, const char* message);
  static std::int32_t is_cancelled(void* context);
  static octavo_status lease_bytes(void* context, std::uint64_t bytes, octavo_error* error);
  static void return_bytes(void* context, std::uint64_t bytes);
  static octavo_status parallel(void* context, std::int64_t count, ParallelTask task, void* task_context,
                                octavo_error* error);
  static void random(void* context, std::uint64_t seed, const char* name, std::uint64_t first,
                     std::uint64_t count, std::uint32_t* words);

  octavo_host host_;
  const std::uint64_t max_ram_;
  Parallel parallel_;
  std::atomic<bool> cancelled_{false};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, bool> open_turns_;  // settled?
  std::uint64_t leased_ = 0;
  std::uint64_t most_leased_ = 0;
};

}  // namespace octavo::plugin
