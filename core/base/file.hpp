// Files: what reads, writes, reserves, syncs and renames a checkpoint goes through this file, so that a fault
// can be put under all of it. Short transfers and EINTR are handled here and nowhere else. Elsewhere are the
// mapping of the output (checkpoint::ByteSink), what a signal's handler removes (run::StopSignals), and
// looking at folders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace octavo {

// Two names of one file (symlink, hard link) have the same identity.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const FileIdentity&) const = default;
};

// What changes when somebody writes to a file or puts another one in its place.
struct FileSnapshot {
  FileIdentity identity;
  uint64_t size = 0;
  int64_t modified_seconds = 0;
  int64_t modified_nanoseconds = 0;
  bool operator==(const FileSnapshot&) const = default;
};

// Files share blocks, not bytes: places that are equal modulo this can be shared. No file system in use has
// larger ones by default.
constexpr uint64_t kSharedBlock = 4096;

// An open regular file; move-only, closed by the destructor. Reads and writes at offsets may run from any
// thread.
class File {
 public:
  File() = default;
  // Opens for reading (close-on-exec). Throws Error io (missing, no permission) or bad_input (not a regular
  // file).
  static File open_to_read(const std::filesystem::path& path);
  // Creates a file that must not exist (no symlink is followed), open for reading and writing. Nothing is
  // returned where the name is taken; throws Error io for every other failure.
  static std::optional<File> create_new(const std::filesystem::path& path, mode_t mode);
  // Opens for writing, creating the file where needed; no symlink is followed. Throws Error io.
  static File open_or_create(const std::filesystem::path& path, mode_t mode);

  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }
  const std::string& path() const { return path_; }

  FileSnapshot snapshot() const;  // throws Error io
  uint64_t size() const { return snapshot().size; }

  // Fills `bytes` from `offset`. Throws Error io (device) or bad_input (the file ends before).
  void read_at(uint64_t offset, std::span<std::byte> bytes) const;
  // Writes all of `bytes` at `offset`. Throws Error io.
  void write_at(uint64_t offset, std::span<const std::byte> bytes) const;
  // Copies `bytes` bytes at `from` of `source` to `offset`. Where the two places lie alike in their blocks
  // and the file system can share blocks, whole blocks are shared and nothing is copied; else the kernel
  // copies, or, where it cannot, this process. Returns how many bytes are shared. Throws Error io or
  // bad_input (the source ends before).
  uint64_t copy_from(const File& source, uint64_t from, uint64_t offset, uint64_t bytes) const;
  // Allocates blocks for a range (and extends the file). False where the file system cannot; Error io for the
  // rest, a full disk included.
  bool reserve(uint64_t offset, uint64_t bytes) const;
  void resize(uint64_t bytes) const;  // throws Error io
  void set_mode(mode_t mode) const;   // throws Error io
  // Has these bytes begin their way to the disk, where the file system can do so; sync() is what counts.
  // Throws Error io.
  void start_sync(uint64_t offset, uint64_t bytes) const;
  void sync() const;        // throws Error io; a failure is never retried
  void drop_cache() const;  // asks the kernel to forget the pages, so that a re-read meets the device
  bool try_lock() const;    // exclusive advisory lock; true also where the file system has no locks
  void close() noexcept;

 private:
  File(int descriptor, std::string path);
  bool share_blocks(const File& source, uint64_t from, uint64_t offset, uint64_t bytes) const;
  void copy_bytes(const File& source, uint64_t from, uint64_t offset, uint64_t bytes) const;
  int descriptor_ = -1;
  std::string path_;
};

// All of `file`. Throws Error bad_input, beginning with `[operation]`, for one of more than `most` bytes, and
// as File::read_at does.
std::string read_text(const File& file, uint64_t most, std::string_view operation);

// The state of what a path leads to (symlinks followed); nothing where there is no such thing.
std::optional<FileSnapshot> snapshot_of(const std::filesystem::path& path);

// Throws Error bad_input unless the path still leads to the file as it was.
void verify_unchanged(const std::filesystem::path& path, const FileSnapshot& before);

enum class Replace { yes, no };

// Renames within one folder. With Replace::no throws Error usage where `to` exists; Error io for the rest.
void rename_path(const std::filesystem::path& from, const std::filesystem::path& to, Replace replace);
// Swaps two names at once. False where the file system cannot; throws Error io for the rest.
bool exchange_paths(const std::filesystem::path& a, const std::filesystem::path& b);
// Creates a folder. False where the name is taken; throws Error io for the rest.
bool create_folder(const std::filesystem::path& folder, mode_t mode);
void set_folder_mode(const std::filesystem::path& folder, mode_t mode);  // throws Error io
// Makes the names in a folder durable. Throws Error io.
void sync_folder(const std::filesystem::path& folder);
// Removes a file; a failure is ignored (there is nothing left to do about it).
void remove_quietly(const std::filesystem::path& path) noexcept;

}  // namespace octavo
