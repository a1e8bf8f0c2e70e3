// What a run has written to one file: whether every byte was, and whether the file still holds it.
#pragma once

#include "base/file.hpp"
#include "base/work_sharing.hpp"

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace octavo::checkpoint {

// How much of a finished file is read again before it gets its name.
//   header: the header only. sampled: also every small write and one large one in 16. full: every byte, after
//   the kernel was asked to drop its copy, so that the bytes come from the device.
enum class VerifyLevel { header, sampled, full };

class WriteLog {
 public:
  explicit WriteLog(VerifyLevel level) : level_(level) {}

  // Notes a write and, if it is one to be checked, its XXH3-64. Thread safe.
  void add(uint64_t offset, std::span<const std::byte> bytes);

  // Notes a copy of bytes that lie at `from` in `source`; what is to be checked is read there.
  void add_copy(uint64_t offset, uint64_t bytes, const File& source, uint64_t from);

  // Forgets what was written, because all of it will be written again.
  void clear();

  // Throws Error failed unless the writes cover [begin, end) without a gap. A write replaces the ones before
  // it that lie within its bounds; writes that overlap in any other way are an error too.
  void close(uint64_t begin, uint64_t end, const std::string& file);

  // After close(): reads the noted ranges back, on a few threads. Throws Error io naming the first byte of a
  // range that differs, and what `check_stop` throws.
  void compare(const File& file, const CheckStop& check_stop) const;

 private:
  struct Piece {
    uint64_t offset = 0;
    uint64_t bytes = 0;
    uint64_t number = 0;  // of the write
    uint64_t hash = 0;
    bool has_hash = false;
  };

  void add(Piece piece);
  void drop_replaced();
  bool is_checked(uint64_t offset, uint64_t bytes) const;
  void compare_piece(const File& file, const Piece& piece) const;

  const VerifyLevel level_;
  std::mutex mutex_;
  std::vector<Piece> pieces_;
};

}  // namespace octavo::checkpoint
