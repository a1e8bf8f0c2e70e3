// Has what is written to files begin its way to the disk. Linux keeps up to a tenth of the memory before it
// writes by itself, which leaves most of a file to the sync at its end: a conversion of 6.2 GB that are
// cached to 3.1 GB on a disk takes 2.0 s so, and 3.1 s without (16 cores). Not while the input comes from a
// disk, which is mostly the same: lanes would wait for their reads instead (6.2 s, and 5.7 s without).
#pragma once

#include "base/file.hpp"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>

namespace octavo::checkpoint {

// A thread, because beginning waits where the disk has enough to do. All calls are thread safe.
class EarlySync {
 public:
  // Throws std::system_error where the system gives no thread.
  EarlySync();
  EarlySync(const EarlySync&) = delete;
  EarlySync& operator=(const EarlySync&) = delete;

  // These bytes of `file` have been written. It must stay until finish().
  void add(const File& file, uint64_t offset, uint64_t bytes);

  // Nothing more of `file` is begun when this returns. Throws Error io if the disk has failed under any file.
  void finish(const File& file);

 private:
  struct Range {
    const File* file;
    uint64_t offset, bytes;
  };

  void run(const std::stop_token& stop);
  Range next_piece();
  void start(const Range& piece);
  bool input_comes_from_disk(uint64_t written);

  std::mutex mutex_;
  std::condition_variable_any has_range_, has_begun_;
  std::deque<Range> ranges_;            // written, not begun
  const File* beginning_ = nullptr;     // whose piece that is done to right now
  std::exception_ptr failure_;          // the first one
  uint64_t read_;                       // from disks until the last look; this and the next two: the thread's
  uint64_t written_ = 0;                // since then
  bool input_comes_from_disk_ = false;  // at the last look
  std::jthread thread_;                 // the last, as it uses the others
};

// None where nobody waits for the disk, or where there is no thread for it.
std::shared_ptr<EarlySync> make_early_sync(bool durable);

}  // namespace octavo::checkpoint
