#include "checkpoint/output_lock.hpp"

#include "base/error.hpp"
#include "base/hash.hpp"

#include <unistd.h>

#include <random>

namespace octavo::checkpoint {
namespace {

// File systems take names of 255 bytes; the longest suffix here has under 60.
constexpr size_t kLongestStem = 180;
constexpr size_t kCutStem = 140;

}  // namespace

std::filesystem::path sibling(const std::filesystem::path& final_path, const std::string& suffix) {
  std::string stem = final_path.filename().string();
  if (stem.size() > kLongestStem) stem = stem.substr(0, kCutStem) + '-' + xxh3_128_hex(stem);
  return final_path.parent_path() / fmt::format(".{}{}", stem, suffix);
}

std::string part_suffix() {
  std::random_device random;
  const uint64_t number = uint64_t{random()} << 32 | random();
  return fmt::format(".{}-{:016x}.part", ::getpid(), number);
}

std::filesystem::path lock_path(const std::filesystem::path& final_path) {
  return sibling(final_path, ".lock");
}

void OutputLock::take(const std::filesystem::path& final_path) {
  const std::filesystem::path path = lock_path(final_path);
  for (;;) {
    file_ = File::open_or_create(path, 0600);
    if (!file_.try_lock()) {
      file_.close();  // so that the destructor leaves the other run's lock alone
      throw Error(ErrorCode::io,
                  fmt::format("[lock] {}: another run is writing it", printable(final_path.string())),
                  "wait for it, or choose another output");
    }
    // The holder before may have removed the file between our open and our lock; then the lock is on nothing.
    const std::optional<FileSnapshot> named = snapshot_of(path);
    if (named && named->identity == file_.snapshot().identity) return;
  }
}

void OutputLock::release() noexcept {
  if (!file_.is_open()) return;
  remove_quietly(file_.path());  // while it is still locked, so that it is ours that goes
  file_.close();
}

}  // namespace octavo::checkpoint
