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

// Has every call of a kind fail for one scope: ErrorScope(FaultySystem::populate_error, EINVAL).
class ErrorScope {
 public:
  ErrorScope(int& kind, int error) : kind_(kind) { kind_ = error; }
  ~ErrorScope() { kind_ = 0; }
  ErrorScope(const ErrorScope&) = delete;
  ErrorScope& operator=(const ErrorScope&) = delete;

 private:
  int& kind_;
};

// A file system that is full once one piece is allocated, for one scope.
struct NoRoom {
  NoFallocate allocation{ENOSPC, 1};
  ErrorScope pages{FaultySystem::populate_error, EFAULT};
  ErrorScope writes{FaultySystem::write_error, ENOSPC};
};

}  // namespace octavo::test
