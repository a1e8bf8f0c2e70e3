#include "checkpoint/early_sync.hpp"

#include "base/try_to.hpp"

#include <algorithm>
#include <sys/resource.h>
#include <utility>

namespace octavo::checkpoint {
namespace {

// What is begun at a time: who finishes a file, or gives it up, waits for no more than this.
constexpr uint64_t kPiece = uint64_t{32} << 20;

// Smaller writes are left to the sync: their pages would be stored again with what comes beside them.
constexpr uint64_t kSmallWrite = uint64_t{256} << 10;

// What this process has read from disks so far.
uint64_t bytes_read() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_inblock) * 512;
}

}  // namespace

EarlySync::EarlySync() : read_(bytes_read()), thread_([this](const std::stop_token& stop) { run(stop); }) {}

void EarlySync::add(const File& file, uint64_t offset, uint64_t bytes) {
  if (bytes < kSmallWrite) return;
  const std::lock_guard lock(mutex_);
  ranges_.push_back({&file, offset, bytes});
  has_range_.notify_one();
}

void EarlySync::finish(const File& file) {
  std::unique_lock lock(mutex_);
  std::erase_if(ranges_, [&](const Range& range) { return range.file == &file; });
  has_begun_.wait(lock, [&] { return beginning_ != &file; });
  if (failure_ != nullptr) std::rethrow_exception(failure_);
}

void EarlySync::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (has_range_.wait(lock, stop, [&] { return !ranges_.empty(); }) && !stop.stop_requested()) {
    const Range piece = next_piece();
    beginning_ = piece.file;
    lock.unlock();
    std::exception_ptr failure;
    try {
      start(piece);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure_ == nullptr) failure_ = std::move(failure);
    beginning_ = nullptr;
    has_begun_.notify_all();
  }
}

EarlySync::Range EarlySync::next_piece() {
  Range& first = ranges_.front();
  const Range piece{first.file, first.offset, std::min(first.bytes, kPiece)};
  first.offset += piece.bytes;
  first.bytes -= piece.bytes;
  if (first.bytes == 0) ranges_.pop_front();
  return piece;
}

void EarlySync::start(const Range& piece) {
  if (!input_comes_from_disk(piece.bytes)) piece.file->start_sync(piece.offset, piece.bytes);
}

bool EarlySync::input_comes_from_disk(uint64_t written) {
  written_ += written;
  if (written_ >= kPiece) {
    const uint64_t read = bytes_read();
    input_comes_from_disk_ = read - read_ >= written_ / 2;
    read_ = read;
    written_ = 0;
  }
  return input_comes_from_disk_;
}

std::shared_ptr<EarlySync> make_early_sync(bool durable) {
  std::shared_ptr<EarlySync> made;
  if (durable) try_to([&] { made = std::make_shared<EarlySync>(); });
  return made;
}

}  // namespace octavo::checkpoint
