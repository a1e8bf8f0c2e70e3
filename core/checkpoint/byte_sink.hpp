// How bytes reach the file under construction. Which way is fastest depends on the file system, so there are
// two; both take writes from any thread, at any offset, and keep no page of the file in this process's
// memory.
#pragma once

#include "base/file.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace octavo::checkpoint {

class ByteSink {
 public:
  virtual ~ByteSink() = default;
  // Thread safe. Throws Error io.
  virtual void write(uint64_t offset, std::span<const std::byte> bytes) = 0;
  // While write() has not been called: allocates the next few megabytes. False where all of that has been
  // done, or cannot be or would not pay. Thread safe. Throws Error io.
  virtual bool reserve_more() { return false; }
  // After the last write: ends what runs in the background.
  virtual void finish() = 0;
};

// ahead: positioned, for callers of reserve_more(). unreserved: positioned, without blocks allocated ahead,
// for a file that shares most of them with its source.
enum class SinkKind { automatic, mapping, positioned, ahead, unreserved };

// Whether there are cores to spare for allocating files while lanes work: where there are few it costs them
// more than it saves.
bool has_spare_cores();

// Makes `file` `bytes` long and allocates its blocks, at once or ahead of the writes (on tmpfs positioned
// writes create those that reserve_more() has not). automatic: a mapping on tmpfs if there are more than four
// cores (many copy into it side by side), positioned writes elsewhere. Where the file system cannot allocate
// ahead there is never a mapping: a full disk would be SIGBUS. `file` must outlive the sink.
std::unique_ptr<ByteSink> make_sink(const File& file, uint64_t bytes, SinkKind kind = SinkKind::automatic);

}  // namespace octavo::checkpoint
