// The mapping: a background thread allocates the file in pieces, from the start to the end, until a write
// gets ahead of it; from then on writes create their own pages, side by side. One after the other, because
// the two hinder each other: 12 GB by 16 threads that begin 0.45 s late take 2.7 s so, 3.0 s without the
// background thread, 3.3 s if it is waited for (fallocate of tmpfs and its page faults take the same lock). A
// write is a copy into the mapping, after which the touched pages are dropped from this process (not from the
// file), so that the output never counts as its memory. A small one (a scale, a marker at the end of the
// file) that is ahead is written with pwrite, which creates its own pages, so that the thread goes on.
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
#include "base/try_to.hpp"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
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
  void finish() override;

 private:
  void reserve_ahead();

  const File& file_;
  const uint64_t bytes_;
  const uint64_t page_ = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  std::byte* base_ = nullptr;
  std::atomic<uint64_t> reserved_;
  std::atomic<bool> is_overtaken_{false};
  std::unique_ptr<Crew> reserver_;
};

MappedSink::MappedSink(const File& file, uint64_t bytes, uint64_t reserved)
    : file_(file), bytes_(bytes), reserved_(reserved) {
  void* const base = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.descriptor(), 0);
  if (base == MAP_FAILED)
    throw Error(ErrorCode::io, fmt::format("[map] {}: {}", printable(file.path()), std::strerror(errno)));
  base_ = static_cast<std::byte*>(base);
  try {
    reserver_ = std::make_unique<Crew>(1, [this](unsigned) { try_to([this] { reserve_ahead(); }); });
  } catch (...) {
    ::munmap(base_, bytes_);
    throw;
  }
}

MappedSink::~MappedSink() {
  is_overtaken_ = true;
  reserver_.reset();
  ::munmap(base_, bytes_);
}

void MappedSink::reserve_ahead() {
  while (reserved_ < bytes_ && !is_overtaken_) {
    const uint64_t piece = std::min(kReservePiece, bytes_ - reserved_);
    if (!file_.reserve(reserved_, piece)) return;
    reserved_ += piece;
  }
}

void MappedSink::write(uint64_t offset, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  const uint64_t end = offset + bytes.size(), first = offset / page_ * page_;
  if (reserved_ < end) {
    const bool is_small = bytes.size() <= kSmallWrite;
    if (!is_small) is_overtaken_ = true;
    // A copy may only touch pages that exist: where there is no room for one it would end the process
    // (SIGBUS). Linux before 5.14 creates none on request.
    if (is_small || ::madvise(base_ + first, end - first, MADV_POPULATE_WRITE) != 0) {
      file_.write_at(offset, bytes);
      return;
    }
  }
  std::memcpy(base_ + offset, bytes.data(), bytes.size());
  // Dropping a page of a shared mapping loses nothing, also where another thread is writing to the same page.
  ::madvise(base_ + first, end - first, MADV_DONTNEED);
}

void MappedSink::finish() {
  is_overtaken_ = true;
  reserver_.reset();
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
