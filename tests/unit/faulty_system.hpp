// System calls that fail on request. The test program defines the I/O functions of the C library itself, so
// that octavo's code, linked into the same program, calls these; they forward to the kernel unless a fault is
// set.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>

namespace octavo::test {

enum class Fault {
  none,
  nth_call,        // the n-th of all covered calls fails
  short_transfers  // pread and pwrite move at most 3 bytes and report EINTR every other time
};

struct FaultySystem {
  static inline Fault fault = Fault::none;
  static inline int nth = 0;              // counted from 1
  static inline int calls = 0;            // covered calls since the fault was set
  static inline int interrupts = 0;       // EINTR reported by short_transfers
  static inline int fallocate_error = 0;  // of every call after the good ones; 0: none
  static inline int fallocate_good = 0;
  static inline int populate_error = 0;              // of every madvise(MADV_POPULATE_WRITE); 0: none
  static inline int write_error = 0;                 // of every pwrite; 0: none
  static inline std::atomic<int> started_syncs = 0;  // calls of sync_file_range
  static inline int start_sync_error = 0;            // of every such call; 0: none
  static inline bool no_exchange = false;
  static inline uint64_t free_bytes = 0;  // what statvfs reports as free; 0: the truth
};

// Sets a fault for one scope.
class FaultScope {
 public:
  explicit FaultScope(Fault fault, int nth = 0) {
    FaultySystem::fault = fault;
    FaultySystem::nth = nth;
    FaultySystem::calls = FaultySystem::interrupts = 0;
  }
  ~FaultScope() { FaultySystem::fault = Fault::none; }
  FaultScope(const FaultScope&) = delete;
  FaultScope& operator=(const FaultScope&) = delete;
};

// Has every fallocate fail with this for one scope, after some good ones.
class NoFallocate {
 public:
  explicit NoFallocate(int error, int good = 0) {
    FaultySystem::fallocate_good = good;
    FaultySystem::fallocate_error = error;
  }
  ~NoFallocate() { FaultySystem::fallocate_error = 0; }
  NoFallocate(const NoFallocate&) = delete;
  NoFallocate& operator=(const NoFallocate&) = delete;
};

// Has no madvise create pages for one scope.
class NoPopulate {
 public:
  explicit NoPopulate(int error) { FaultySystem::populate_error = error; }
  ~NoPopulate() { FaultySystem::populate_error = 0; }
  NoPopulate(const NoPopulate&) = delete;
  NoPopulate& operator=(const NoPopulate&) = delete;
};

// Has every sync_file_range fail with this for one scope.
class NoStartOfSync {
 public:
  explicit NoStartOfSync(int error) { FaultySystem::start_sync_error = error; }
  ~NoStartOfSync() { FaultySystem::start_sync_error = 0; }
  NoStartOfSync(const NoStartOfSync&) = delete;
  NoStartOfSync& operator=(const NoStartOfSync&) = delete;
};

// A file system that is full once one piece is allocated, for one scope.
class NoRoom {
 public:
  NoRoom() { FaultySystem::write_error = ENOSPC; }
  ~NoRoom() { FaultySystem::write_error = 0; }
  NoRoom(const NoRoom&) = delete;
  NoRoom& operator=(const NoRoom&) = delete;

 private:
  NoFallocate allocation_{ENOSPC, 1};
  NoPopulate pages_{EFAULT};
};

}  // namespace octavo::test
