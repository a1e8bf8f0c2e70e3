// Writing one safetensors file so that its name never stands for anything but a complete, checked file.
#pragma once

#include "base/file.hpp"
#include "base/work_sharing.hpp"
#include "checkpoint/byte_sink.hpp"
#include "checkpoint/early_sync.hpp"
#include "checkpoint/layout.hpp"
#include "checkpoint/output_lock.hpp"
#include "checkpoint/write_log.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <sys/types.h>
#include <vector>

namespace octavo::checkpoint {

struct OutputOptions {
  bool force = false;  // an existing output may be replaced
  VerifyLevel verify = VerifyLevel::sampled;
  std::vector<FileIdentity> inputs = {};  // files that the output must not be (Checkpoint::identities)
  std::optional<mode_t> mode = {};        // of the finished file; 0666 less the umask by default
  bool durable = true;                    // false: no fsync (measurements only)
  bool discard = false;                   // nothing is created or written (measurements only)
  SinkKind sink = SinkKind::automatic;
  std::shared_ptr<EarlySync> early_sync = {};  // of files that are written together; default: its own
  CheckStop check_stop = {};                   // called between the steps of a commit, up to the rename
};

class OutputFile {
 public:
  // Checks target and room, takes the lock, creates the temporary file `.NAME.PID-RANDOM.part` beside the
  // output and, but for SinkKind::ahead, reserves its blocks. Throws Error usage or io (see preflight.hpp);
  // nothing is left behind then.
  OutputFile(const std::filesystem::path& final_path, Layout layout, OutputOptions options);
  // Without a successful commit the temporary file is removed.
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  const std::filesystem::path& final_path() const { return final_path_; }
  const Layout& layout() const { return layout_; }
  // For a signal path that has to unlink it; empty with `discard`.
  const std::string& temp_path() const { return temp_path_; }

  // Writes tensor data at its place in the file (PlacedTensor::offset and beyond). Thread safe; a write may
  // replace others that lie within its bounds. Throws Error io, or failed for bytes outside of the data.
  void write(uint64_t offset, std::span<const std::byte> bytes);

  // As ByteSink has it; before copy_from() as well.
  bool reserve_more() { return sink_ != nullptr && sink_->reserve_more(); }

  // Everything will be written again, in other pieces, too. After all writes have returned.
  void begin_again() { log_.clear(); }

  // Copies `bytes` bytes at `from` of `source` to `offset`, as File::copy_from does; returns how many of them
  // are shared. Bounds and errors as for write(), and bad_input where the source ends before.
  uint64_t copy_from(const File& source, uint64_t from, uint64_t offset, uint64_t bytes);

  // Header, then length, each made durable; re-reads with the strict reader and compares what `verify` asks
  // for; renames and makes the name durable. Call once, after all writes have returned. Throws Error io,
  // failed (bytes were never written) or usage (without force, the output has appeared meanwhile), and what
  // `check_stop` throws; the output is untouched then.
  void commit();

 private:
  void create_temp();
  void sync_early(uint64_t offset, uint64_t bytes) const;
  void check_bounds(uint64_t offset, uint64_t bytes) const;
  void write_header();
  void check_stop() const;
  void check_stored() const;
  void publish();

  std::filesystem::path final_path_;
  Layout layout_;
  OutputOptions options_;
  OutputLock lock_;
  File file_;
  std::string temp_path_;
  std::unique_ptr<ByteSink> sink_;  // uses file_
  WriteLog log_;
};

// 0666 (or 0777 for a folder) less the umask of this process.
mode_t mode_for_new_file();
mode_t mode_for_new_folder();

}  // namespace octavo::checkpoint
