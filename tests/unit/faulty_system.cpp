#include "faulty_system.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

namespace {

using octavo::test::Fault;
using octavo::test::FaultySystem;

std::mutex mutex;

// True if this call is the one to fail; errno is set then.
bool fails(int number) {
  const std::lock_guard lock(mutex);
  if (FaultySystem::fault != Fault::nth_call || ++FaultySystem::calls != FaultySystem::nth) return false;
  errno = number;
  return true;
}

// For short transfers: how much may move now, or nothing where the call is to be interrupted.
bool interrupted(size_t& bytes) {
  const std::lock_guard lock(mutex);
  if (FaultySystem::fault != Fault::short_transfers) return false;
  bytes = std::min<size_t>(bytes, 3);
  if (++FaultySystem::calls % 2 == 0) return false;
  ++FaultySystem::interrupts;
  errno = EINTR;
  return true;
}

// True if calls of a kind fail for now; errno is set then.
bool all_fail(int error) {
  if (error != 0) errno = error;
  return error != 0;
}

bool allocates_no_more() {
  const std::lock_guard lock(mutex);
  if (FaultySystem::fallocate_error == 0 || FaultySystem::fallocate_good-- > 0) return false;
  errno = FaultySystem::fallocate_error;
  return true;
}

}  // namespace

extern "C" {

ssize_t pread(int descriptor, void* bytes, size_t size, off_t offset) {
  if (fails(EIO) || interrupted(size)) return -1;
  return syscall(SYS_pread64, descriptor, bytes, size, offset);
}

ssize_t pwrite(int descriptor, const void* bytes, size_t size, off_t offset) {
  if (fails(ENOSPC) || interrupted(size) || all_fail(FaultySystem::write_error)) return -1;
  return syscall(SYS_pwrite64, descriptor, bytes, size, offset);
}

int fallocate(int descriptor, int mode, off_t offset, off_t size) {
  if (fails(ENOSPC)) return -1;
  if (allocates_no_more()) return -1;
  return static_cast<int>(syscall(SYS_fallocate, descriptor, mode, offset, size));
}

int madvise(void* start, size_t size, int advice) noexcept {
  if (advice == MADV_POPULATE_WRITE && all_fail(FaultySystem::populate_error)) return -1;
  return static_cast<int>(syscall(SYS_madvise, start, size, advice));
}

int ftruncate(int descriptor, off_t size) noexcept {
  if (fails(ENOSPC)) return -1;
  return static_cast<int>(syscall(SYS_ftruncate, descriptor, size));
}

int fsync(int descriptor) {
  if (fails(EIO)) return -1;
  return static_cast<int>(syscall(SYS_fsync, descriptor));
}

int sync_file_range(int descriptor, off_t offset, off_t size, unsigned flags) {
  ++FaultySystem::started_syncs;
  if (all_fail(FaultySystem::start_sync_error)) return -1;
  return static_cast<int>(syscall(SYS_sync_file_range, descriptor, offset, size, flags));
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
  if (fails(EIO)) return -1;
  if (FaultySystem::no_exchange && flags != 0) {
    errno = EINVAL;
    return -1;
  }
  return static_cast<int>(syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}

int rename(const char* from, const char* to) noexcept {
  if (fails(EIO)) return -1;
  return static_cast<int>(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0U));
}

int statvfs(const char* path, struct statvfs* space) noexcept {
  using Function = int (*)(const char*, struct statvfs*);
  static const auto real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "statvfs"));
  const int result = real(path, space);
  if (result == 0 && FaultySystem::free_bytes != 0) {
    space->f_frsize = 1;
    space->f_blocks = space->f_bavail = FaultySystem::free_bytes;
  }
  return result;
}

}  // extern "C"
