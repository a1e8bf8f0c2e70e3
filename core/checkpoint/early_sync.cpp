#include "checkpoint/early_sync.hpp"

#include <sys/resource.h>

namespace octavo::checkpoint {
namespace {

// Enough that no page is stored twice because a small tensor in it came later.
constexpr uint64_t kPiece = uint64_t{32} << 20;

// What this process has read from disks so far.
uint64_t bytes_read() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_inblock) * 512;
}

}  // namespace

EarlySync::EarlySync(const File& file)
    : file_(file), thread_([this](const std::stop_token& stop) { run(stop); }) {}

void EarlySync::add(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  written_ += bytes;
  if (written_ >= kPiece) has_piece_.notify_one();
}

void EarlySync::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (has_piece_.wait(lock, stop, [&] { return written_ >= kPiece; })) {
    if (stop.stop_requested()) return;  // what is left is the sync's
    written_ = 0;
    lock.unlock();
    const uint64_t read = bytes_read();
    if (read - read_ < kPiece / 2) file_.start_sync();
    read_ = read;
    lock.lock();
  }
}

}  // namespace octavo::checkpoint
