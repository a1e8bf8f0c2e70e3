// Writing several shards and their index so that the folder appears complete, with one rename.
#pragma once

#include "base/crew.hpp"
#include "checkpoint/output_lock.hpp"
#include "checkpoint/shards.hpp"
#include "checkpoint/writer.hpp"

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace octavo::checkpoint {

// So many files that pages of several are created at a time: what writes them gains by more threads.
bool are_written_side_by_side(const ShardSet& shards);

class OutputFolder {
 public:
  // Checks target and room for all shards together, takes the lock, creates the temporary folder
  // `.NAME.PID-RANDOM.part` beside the output and in it every shard as an OutputFile. Of many shards blocks
  // are allocated side by side from then on, where that pays, until they are written.
  // Throws Error usage or io; nothing is left behind then.
  OutputFolder(const std::filesystem::path& final_path, ShardSet shards, const OutputOptions& options);
  // Without a successful commit the temporary folder is removed.
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  size_t size() const { return files_.size(); }
  OutputFile& shard(size_t index) { return *files_[index]; }
  const std::string& temp_path() const { return temp_path_; }  // empty with `discard`

  // Commits every shard, then the index, then renames the folder. With force an old folder is swapped out
  // first and removed last. Throws what OutputFile::commit throws.
  void commit();

 private:
  void reserve_side_by_side();
  void reserve_in_turn();
  void stop_reserving();
  void write_index() const;
  void publish();
  std::filesystem::path swap_in() const;

  std::filesystem::path final_path_;
  ShardSet shards_;
  OutputOptions options_;
  OutputLock lock_;
  std::string temp_path_;
  std::vector<std::unique_ptr<OutputFile>> files_;
  std::atomic<size_t> next_{0};  // whose file is it to be reserved?
  std::atomic<bool> stopped_{false};
  std::unique_ptr<Crew> reservers_;
};

}  // namespace octavo::checkpoint
