// The output of an edit: the source's tensors but for its markers, copied without being looked at.
#pragma once

#include "checkpoint/output_folder.hpp"
#include "checkpoint/reader.hpp"
#include "checkpoint/writer.hpp"
#include "edit/edit_plan.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace octavo::edit {

struct CopyProgress {
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
};

// One file, or for a sharded set a folder with the same shards. The data begins in the output where it begins
// in the source, modulo the block size of file systems, so that the blocks before the first marker can be
// shared; the header ends in more spaces for that.
class EditedFile {
 public:
  // All outlive it. `index_name`: of a sharded set, "" for one file. Throws what laying out throws.
  EditedFile(const checkpoint::Checkpoint& source, const EditPlan& plan, const std::string& index_name);

  uint64_t file_bytes() const;
  // Throws what writing to `path` would before it begins.
  void check(const std::filesystem::path& path, const checkpoint::OutputOptions& options) const;
  // Copies and commits. `progress` is called between pieces of the copy, and may throw to stop. Throws Error
  // as opening, copying and committing an output do; nothing is left behind then.
  // `watch` is told the temporary paths that exist from now on, and none after the commit.
  void write(const std::filesystem::path& path, const checkpoint::OutputOptions& options,
             const std::function<void(const CopyProgress&)>& progress,
             const std::function<void(const std::vector<std::string>&)>& watch);
  uint64_t shared_bytes() const { return shared_bytes_; }  // of them nothing was copied

 private:
  void lay_out_file(uint32_t file, std::vector<checkpoint::OutputTensor> tensors);
  void fill(checkpoint::OutputFile& output, const std::function<void(const CopyProgress&)>& progress);

  const checkpoint::Checkpoint& source_;
  const EditPlan& plan_;
  checkpoint::ShardSet shards_;  // of one file: that one, without an index
  uint64_t bytes_done_ = 0;
  uint64_t shared_bytes_ = 0;
};

}  // namespace octavo::edit
