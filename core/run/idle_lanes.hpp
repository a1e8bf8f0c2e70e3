// What lanes do while they wait: they run the tasks of loops that other lanes have opened (host.parallel).
//
// Every wait of a run goes through here, so that no lane is idle while another one has work to share out.
#pragma once

#include "plugin/host_services.hpp"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <stop_token>

namespace octavo::run {

// Thread safe.
class IdleLanes {
 public:
  // Returns true once `ready` does, false if the run was stopped first. `ready` is called with the lock held
  // that changed() takes, so it must not wait, open a loop or call changed().
  bool wait(const std::stop_token& stop, const std::function<bool()>& ready);

  // Something that a lane may wait for has happened. Not to be called with a lock held that a `ready` takes.
  void changed();

  // Runs task(context, i) for i in [0, count), in the calling thread and in those that wait, and returns when
  // all are done: the status of the failed one with the smallest index, or OCTAVO_OK. Within a task: all in
  // the calling thread.
  octavo_status parallel(int64_t count, plugin::ParallelTask task, void* context);

 private:
  struct Loop {
    int64_t count = 0;
    plugin::ParallelTask task = nullptr;
    void* context = nullptr;
    int64_t next = 0;
    int64_t running = 0;
    int64_t failed_at = 0;
    octavo_status status = OCTAVO_OK;
  };

  Loop* open_loop();
  // Runs one task of the loop without the lock.
  void run_one(Loop& loop, std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Loop*> loops_;
};

}  // namespace octavo::run
