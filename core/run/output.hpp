// Where a run writes: one file or several, seen as the plan's list of output tensors.
#pragma once

#include "checkpoint/output_folder.hpp"
#include "checkpoint/writer.hpp"
#include "plan/plan.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace octavo::run {

class Output {
 public:
  // One file, or with a rule several in a folder. Nothing is written before begin(). Throws what the layouts
  // throw.
  Output(const plan::Plan& plan, std::filesystem::path path, const checkpoint::ShardRule* shards);

  const std::filesystem::path& path() const { return path_; }
  bool is_sharded() const { return sharded_; }
  bool is_written_side_by_side() const { return checkpoint::are_written_side_by_side(shards_); }
  uint64_t file_bytes() const { return file_bytes_; }  // of all files
  uint64_t largest_file() const { return sharded_ ? shards_.largest_file() : file_bytes_; }
  // For every output tensor of the plan its offset in the file that holds it.
  const std::vector<uint64_t>& offsets() const { return offsets_; }

  // Checks target and room, creates the temporary files. Throws Error usage or io, with nothing left behind.
  void begin(const checkpoint::OutputOptions& options);
  // Bytes of output tensor `output` from `offset` on. Thread safe.
  void write(size_t output, uint64_t offset, std::span<const std::byte> bytes);
  // Everything will be written again, in other pieces, too. No write may be under way.
  void begin_again();
  void commit();
  // Everything that exists until commit: temporary files, their folder, the lock. For a signal path.
  std::vector<std::string> temporary_paths() const;

 private:
  struct Place {
    uint32_t file = 0;
    uint64_t offset = 0;
  };
  void place(size_t outputs, const std::vector<const checkpoint::Layout*>& layouts);

  std::filesystem::path path_;
  checkpoint::Layout layout_;    // of one file
  checkpoint::ShardSet shards_;  // of several
  bool sharded_ = false;
  uint64_t file_bytes_ = 0;
  std::vector<Place> places_;
  std::vector<uint64_t> offsets_;
  std::unique_ptr<checkpoint::OutputFile> file_;
  std::unique_ptr<checkpoint::OutputFolder> folder_;
};

}  // namespace octavo::run
