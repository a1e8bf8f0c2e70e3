#include "base/file.hpp"

#include "base/error.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <utility>
#include <vector>

namespace octavo {
namespace {

// Numbers are taken as they lie in a file: low byte first.
static_assert(std::endian::native == std::endian::little);

// One call moves at most this much: Linux stops at 2 GiB - 4 KiB, and a lane shall notice a cancel soon.
constexpr size_t kLargestTransfer = size_t{1} << 30;

// What a copy through this process holds at a time.
constexpr size_t kCopiedPiece = size_t{1} << 20;

std::string reason(int number) { return std::strerror(number); }

Error io_error(const char* operation, const std::string& path, int number) {
  return Error(ErrorCode::io, fmt::format("[{}] {}: {}", operation, printable(path), reason(number)));
}

FileSnapshot to_snapshot(const struct stat& status) {
  return {{status.st_dev, status.st_ino},
          static_cast<uint64_t>(status.st_size),
          static_cast<int64_t>(status.st_mtim.tv_sec),
          static_cast<int64_t>(status.st_mtim.tv_nsec)};
}

// Repeats a system call that a signal interrupted.
template <typename Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

}  // namespace

File::File(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}

File::File(File&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}

File& File::operator=(File&& other) noexcept {
  if (this == &other) return *this;
  close();
  descriptor_ = std::exchange(other.descriptor_, -1);
  path_ = std::move(other.path_);
  return *this;
}

File::~File() { close(); }

void File::close() noexcept {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

File File::open_to_read(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer; it means nothing for a regular file.
  const int descriptor =
      uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); });
  if (descriptor < 0) throw io_error("open", path.string(), errno);
  File file(descriptor, path.string());
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) throw io_error("stat", file.path_, errno);
  if (!S_ISREG(status.st_mode))
    throw Error(ErrorCode::bad_input, fmt::format("[open] {}: not a regular file", printable(file.path_)));
  return file;
}

std::optional<File> File::create_new(const std::filesystem::path& path, mode_t mode) {
  const int descriptor = uninterrupted(
      [&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode); });
  if (descriptor < 0 && errno == EEXIST) return std::nullopt;
  if (descriptor < 0) throw io_error("create", path.string(), errno);
  return File(descriptor, path.string());
}

File File::open_or_create(const std::filesystem::path& path, mode_t mode) {
  const int descriptor =
      uninterrupted([&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, mode); });
  if (descriptor < 0) throw io_error("create", path.string(), errno);
  return File(descriptor, path.string());
}

FileSnapshot File::snapshot() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) throw io_error("stat", path_, errno);
  return to_snapshot(status);
}

void File::read_at(uint64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const size_t wanted = std::min(bytes.size(), kLargestTransfer);
    const ssize_t got =
        uninterrupted([&] { return ::pread(descriptor_, bytes.data(), wanted, static_cast<off_t>(offset)); });
    if (got < 0) throw io_error("read", path_, errno);
    if (got == 0)
      throw Error(ErrorCode::bad_input,
                  fmt::format("[read] {}: the file ends at byte {}, {} more bytes were expected",
                              printable(path_), offset, bytes.size()),
                  "the file is truncated, or somebody wrote to it while it was read");
    bytes = bytes.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
}

void File::write_at(uint64_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const size_t wanted = std::min(bytes.size(), kLargestTransfer);
    const ssize_t done = uninterrupted(
        [&] { return ::pwrite(descriptor_, bytes.data(), wanted, static_cast<off_t>(offset)); });
    // A device that accepts nothing without an error would make this loop endless.
    if (done <= 0) throw io_error("write", path_, done == 0 ? ENOSPC : errno);
    bytes = bytes.subspan(static_cast<size_t>(done));
    offset += static_cast<uint64_t>(done);
  }
}

// False where the file system has no such thing, or not for these two files.
bool File::share_blocks(const File& source, uint64_t from, uint64_t offset, uint64_t bytes) const {
  struct file_clone_range range {};
  range.src_fd = source.descriptor_;
  range.src_offset = from;
  range.src_length = bytes;
  range.dest_offset = offset;
  return uninterrupted([&] { return ::ioctl(descriptor_, FICLONERANGE, &range); }) == 0;
}

void File::copy_bytes(const File& source, uint64_t from, uint64_t offset, uint64_t bytes) const {
  while (bytes > 0) {
    auto in = static_cast<off_t>(from);
    auto out = static_cast<off_t>(offset);
    const size_t wanted = std::min<uint64_t>(bytes, kLargestTransfer);
    const ssize_t done = uninterrupted(
        [&] { return ::copy_file_range(source.descriptor_, &in, descriptor_, &out, wanted, 0); });
    if (done <= 0) break;  // two file systems, an old kernel, or a failure that the other way will meet again
    from += static_cast<uint64_t>(done);
    offset += static_cast<uint64_t>(done);
    bytes -= static_cast<uint64_t>(done);
  }
  std::vector<std::byte> piece(std::min<uint64_t>(bytes, kCopiedPiece));
  while (bytes > 0) {
    const std::span<std::byte> part = std::span(piece).first(std::min<uint64_t>(bytes, piece.size()));
    source.read_at(from, part);
    write_at(offset, part);
    from += part.size();
    offset += part.size();
    bytes -= part.size();
  }
}

uint64_t File::copy_from(const File& source, uint64_t from, uint64_t offset, uint64_t bytes) const {
  const uint64_t before = std::min(bytes, (kSharedBlock - from % kSharedBlock) % kSharedBlock);
  const uint64_t blocks = (bytes - before) / kSharedBlock * kSharedBlock;
  const bool shared = from % kSharedBlock == offset % kSharedBlock && blocks > 0 &&
                      share_blocks(source, from + before, offset + before, blocks);
  if (!shared) {
    copy_bytes(source, from, offset, bytes);
    return 0;
  }
  const uint64_t done = before + blocks;
  copy_bytes(source, from, offset, before);
  copy_bytes(source, from + done, offset + done, bytes - done);
  return blocks;
}

bool File::reserve(uint64_t offset, uint64_t bytes) const {
  if (bytes == 0) return true;
  const int result = uninterrupted(
      [&] { return ::fallocate(descriptor_, 0, static_cast<off_t>(offset), static_cast<off_t>(bytes)); });
  if (result == 0) return true;
  if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EPERM) return false;
  throw io_error("reserve", path_, errno);
}

void File::resize(uint64_t bytes) const {
  if (uninterrupted([&] { return ::ftruncate(descriptor_, static_cast<off_t>(bytes)); }) != 0)
    throw io_error("resize", path_, errno);
}

void File::set_mode(mode_t mode) const {
  // File systems without modes (FAT, some network ones) refuse; the file is as readable there as it can be.
  if (::fchmod(descriptor_, mode) != 0 && errno != EPERM && errno != ENOTSUP)
    throw io_error("set mode of", path_, errno);
}

// A failure of the disk is sync()'s to report, but what it cannot be given (no room, a damaged file system)
// may be reported here alone.
void File::start_sync(uint64_t offset, uint64_t bytes) const {
  const int result = uninterrupted([&] {
    return ::sync_file_range(descriptor_, static_cast<off_t>(offset), static_cast<off_t>(bytes),
                             SYNC_FILE_RANGE_WRITE);
  });
  const bool is_unknown = errno == ENOSYS || errno == EINVAL || errno == ESPIPE || errno == EPERM;
  if (result != 0 && !is_unknown) throw io_error("sync", path_, errno);
}

void File::sync() const {
  // Never again after a failure: Linux has dropped the pages by then, and the next call would report success.
  if (::fsync(descriptor_) != 0) throw io_error("sync", path_, errno);
}

void File::drop_cache() const { ::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_DONTNEED); }

bool File::try_lock() const {
  if (uninterrupted([&] { return ::flock(descriptor_, LOCK_EX | LOCK_NB); }) == 0) return true;
  if (errno == EWOULDBLOCK) return false;
  if (errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS) return true;
  throw io_error("lock", path_, errno);
}

std::string read_text(const File& file, uint64_t most, std::string_view operation) {
  const uint64_t size = file.size();
  if (size > most) {
    throw Error(ErrorCode::bad_input, fmt::format("[{}] {} has {} bytes; at most {} are read", operation,
                                                  printable(file.path()), size, most));
  }
  std::string text(size, '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text)));
  return text;
}

std::optional<FileSnapshot> snapshot_of(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return to_snapshot(status);
}

void verify_unchanged(const std::filesystem::path& path, const FileSnapshot& before) {
  if (snapshot_of(path) == before) return;
  throw Error(ErrorCode::bad_input,
              fmt::format("[read] {}: the file was changed while it was read", printable(path.string())),
              "run again when nothing else writes to it");
}

void rename_path(const std::filesystem::path& from, const std::filesystem::path& to, Replace replace) {
  if (replace == Replace::no) {
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return;
    const bool unsupported = errno == EINVAL || errno == ENOSYS;
    struct stat status {};
    if (errno == EEXIST || (unsupported && ::lstat(to.c_str(), &status) == 0))
      throw Error(ErrorCode::usage, fmt::format("[rename] {} exists", printable(to.string())),
                  "--force replaces it");
    if (!unsupported) throw io_error("rename to", to.string(), errno);
  }
  if (::rename(from.c_str(), to.c_str()) != 0) throw io_error("rename to", to.string(), errno);
}

bool exchange_paths(const std::filesystem::path& a, const std::filesystem::path& b) {
  if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) return true;
  if (errno == EINVAL || errno == ENOSYS) return false;
  throw io_error("exchange", b.string(), errno);
}

bool create_folder(const std::filesystem::path& folder, mode_t mode) {
  if (::mkdir(folder.c_str(), mode) == 0) return true;
  if (errno == EEXIST) return false;
  throw io_error("create folder", folder.string(), errno);
}

void set_folder_mode(const std::filesystem::path& folder, mode_t mode) {
  if (::chmod(folder.c_str(), mode) != 0 && errno != EPERM && errno != ENOTSUP)
    throw io_error("set mode of", folder.string(), errno);
}

void sync_folder(const std::filesystem::path& folder) {
  const int descriptor =
      uninterrupted([&] { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (descriptor < 0) throw io_error("open folder", folder.string(), errno);
  const int result = ::fsync(descriptor);
  const int number = errno;
  ::close(descriptor);
  // EINVAL: the file system has no such thing as syncing a folder.
  if (result != 0 && number != EINVAL) throw io_error("sync folder", folder.string(), number);
}

void remove_quietly(const std::filesystem::path& path) noexcept { ::unlink(path.c_str()); }

}  // namespace octavo
