// The mapping: one background thread allocates the file in pieces, from the start to the end, and publishes a
// watermark. A write below the watermark is a copy into pages that exist, after which the touched pages are
// dropped from this process (not from the file), so that the output never counts as its memory. A write above
// the watermark waits; a small one (a scale, a marker at the end of the file) is written with pwrite instead,
// which creates its own pages, so that it does not wait for everything before it.
//
// Positioned writes: one at a time. The kernel lets one writer at a time into an inode on most file systems,
// and others only spin at its door (ext4: 1 thread 4.6 GB/s, 4 threads 3.5 GB/s on one machine; on tmpfs with
// two cores a second writer makes a whole conversion a sixth slower). On tmpfs they fill pages that exist
// three times as fast as they create them, so what creates pages before the first write saves time although
// it zeroes them: while a GPU's context is created (0.3 s) it gets through 12 GB of 8 files.

#include "checkpoint/byte_sink.hpp"

#include "base/cpus.hpp"
#include "base/crew.hpp"
#include "base/error.hpp"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <linux/magic.h>
#include <memory>
#include <mutex>
#include <sys/mman.h>
#include <sys/statfs.h>

namespace octavo::checkpoint {
namespace {

// While a piece is allocated nobody else may write to the file: less than a millisecond.
constexpr uint64_t kReservePiece = uint64_t{4} << 20;
constexpr size_t kSmallWrite = size_t{256} << 10;

class PositionedSink : public ByteSink {
 public:
  // `unreserved` bytes may be allocated ahead.
  PositionedSink(const File& file, uint64_t unreserved) : file_(file), unreserved_(unreserved) {}

  void write(uint64_t offset, std::span<const std::byte> bytes) override {
    is_written_ = true;
    const std::lock_guard lock(mutex_);
    file_.write_at(offset, bytes);
  }
  bool reserve_more() override {
    if (is_written_ || reserved_ >= unreserved_) return false;
    const uint64_t begin = reserved_.fetch_add(kReservePiece);
    return begin < unreserved_ && file_.reserve(begin, std::min(kReservePiece, unreserved_ - begin));
  }
  void finish() override {}

 private:
  const File& file_;
  const uint64_t unreserved_;
  std::atomic<uint64_t> reserved_{0};
  std::atomic<bool> is_written_{false};
  std::mutex mutex_;
};

class MappedSink : public ByteSink {
 public:
  // The file is `bytes` long and allocated up to `reserved`.
  MappedSink(const File& file, uint64_t bytes, uint64_t reserved);
  MappedSink(const MappedSink&) = delete;
  MappedSink& operator=(const MappedSink&) = delete;
  ~MappedSink() override;

  void write(uint64_t offset, std::span<const std::byte> bytes) override;
  bool waits_for_allocation() const override { return true; }
  void finish() override;

 private:
  void reserve_ahead();
  void wait_for(uint64_t end);
  void stop();

  const File& file_;
  const uint64_t bytes_;
  const uint64_t page_ = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  std::byte* base_ = nullptr;
  std::atomic<uint64_t> watermark_;
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::condition_variable advanced_;
  std::exception_ptr failure_;  // under mutex_
  std::unique_ptr<Crew> reserver_;
};

MappedSink::MappedSink(const File& file, uint64_t bytes, uint64_t reserved)
    : file_(file), bytes_(bytes), watermark_(reserved) {
  void* const base = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.descriptor(), 0);
  if (base == MAP_FAILED)
    throw Error(ErrorCode::io, fmt::format("[map] {}: {}", printable(file.path()), std::strerror(errno)));
  base_ = static_cast<std::byte*>(base);
  try {
    reserver_ = std::make_unique<Crew>(1, [this](unsigned) { reserve_ahead(); });
  } catch (...) {
    ::munmap(base_, bytes_);
    throw;
  }
}

MappedSink::~MappedSink() {
  stop();
  ::munmap(base_, bytes_);
}

void MappedSink::stop() {
  stopped_ = true;
  reserver_.reset();
}

void MappedSink::reserve_ahead() {
  std::exception_ptr failure;
  try {
    for (uint64_t done = watermark_; done < bytes_ && !stopped_;) {
      const uint64_t piece = std::min(kReservePiece, bytes_ - done);
      if (!file_.reserve(done, piece))
        throw Error(ErrorCode::io,
                    fmt::format("[reserve] {}: refused at byte {}", printable(file_.path()), done));
      done += piece;
      const std::lock_guard lock(mutex_);
      watermark_ = done;
      advanced_.notify_all();
    }
  } catch (...) {
    failure = std::current_exception();
  }
  const std::lock_guard lock(mutex_);
  failure_ = failure;
  advanced_.notify_all();
}

void MappedSink::wait_for(uint64_t end) {
  if (watermark_ >= end) return;
  std::unique_lock lock(mutex_);
  advanced_.wait(lock, [&] { return watermark_ >= end || failure_; });
  if (watermark_ < end) std::rethrow_exception(failure_);
}

void MappedSink::write(uint64_t offset, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  const uint64_t end = offset + bytes.size();
  if (watermark_ < end && bytes.size() <= kSmallWrite) {
    file_.write_at(offset, bytes);
    return;
  }
  wait_for(end);
  std::memcpy(base_ + offset, bytes.data(), bytes.size());
  // Dropping a page of a shared mapping loses nothing, also where another thread is writing to the same page.
  const uint64_t first = offset / page_ * page_;
  ::madvise(base_ + first, end - first, MADV_DONTNEED);
}

void MappedSink::finish() {
  reserver_.reset();
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
}

bool is_tmpfs(const File& file) {
  struct statfs kind {};
  return ::fstatfs(file.descriptor(), &kind) == 0 && static_cast<long>(kind.f_type) == TMPFS_MAGIC;
}

}  // namespace

bool has_spare_cores() { return usable_cpus() > 4; }

std::unique_ptr<ByteSink> make_sink(const File& file, uint64_t bytes, SinkKind kind) {
  const bool tmpfs = is_tmpfs(file);
  if (kind == SinkKind::automatic) {
    // On tmpfs a mapping costs half as much again in system time as positioned writes (1.3 GB in, 0.7 GB out:
    // 0.72 s against 0.48 s), for zeroing pages ahead and faulting them in. It pays where there are cores to
    // spare for that: many writers of one file wait for its lock, many copies into a mapping do not.
    kind = tmpfs && has_spare_cores() ? SinkKind::mapping : SinkKind::positioned;
  }
  if (kind == SinkKind::mapping && bytes > 0) {
    const uint64_t first = std::min(bytes, kReservePiece);
    if (file.reserve(0, first)) {
      file.resize(bytes);
      return std::make_unique<MappedSink>(file, bytes, first);
    }
  } else if (!tmpfs && kind != SinkKind::unreserved) {  // there it would create every page twice over: zeroed
                                                        // now, filled later
    file.reserve(0, bytes);
  }
  file.resize(bytes);
  return std::make_unique<PositionedSink>(file, tmpfs && kind == SinkKind::ahead ? bytes : 0);
}

}  // namespace octavo::checkpoint
