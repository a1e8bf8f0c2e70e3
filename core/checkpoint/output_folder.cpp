#include "checkpoint/output_folder.hpp"

#include "base/cpus.hpp"
#include "base/error.hpp"
#include "base/try_to.hpp"
#include "checkpoint/preflight.hpp"

#include <algorithm>
#include <system_error>
#include <utility>

namespace octavo::checkpoint {
namespace {

namespace fs = std::filesystem;

// From this many files on, writers keep out of each other's way, and the pages of several files are created
// side by side: 8 files by positioned writes 16 GB/s, one by a mapping 5 GB/s (tmpfs, 16 cores). Few files
// are better off each with a mapping.
constexpr size_t kManyFiles = 4;

std::string create_temp_folder(const fs::path& final_path) {
  for (;;) {
    const fs::path path = sibling(final_path, part_suffix());
    if (create_folder(path, 0700)) return path.string();
  }
}

// A folder that another run has already filled or changed is not ours to delete.
void remove_old_output(const fs::path& folder) {
  std::error_code ignored;
  if (is_output_folder(folder)) fs::remove_all(folder, ignored);
}

}  // namespace

bool are_written_side_by_side(const ShardSet& shards) { return shards.layouts.size() >= kManyFiles; }

OutputFolder::OutputFolder(const fs::path& final_path, ShardSet shards, const OutputOptions& options)
    : final_path_(output_name(final_path, OutputKind::folder)),
      shards_(std::move(shards)),
      options_(options) {
  if (!options_.discard) {
    check_target(final_path_, OutputKind::folder, options_.force, options_.inputs);
    check_room(folder_of(final_path_), shards_.bytes(), shards_.largest_file());
    lock_.take(final_path_);
    temp_path_ = create_temp_folder(final_path_);
  }
  OutputOptions each = options_;
  if (each.sink == SinkKind::automatic && are_written_side_by_side(shards_))
    each.sink = has_spare_cores() ? SinkKind::ahead : SinkKind::positioned;
  each.early_sync = make_early_sync(options_.durable && !options_.discard);
  try {
    for (size_t i = 0; i < shards_.layouts.size(); ++i)
      files_.push_back(std::make_unique<OutputFile>(fs::path(temp_path_) / shards_.names[i],
                                                    std::move(shards_.layouts[i]), each));
    if (each.sink == SinkKind::ahead) reserve_side_by_side();
  } catch (...) {
    files_.clear();
    std::error_code ignored;
    if (!temp_path_.empty()) fs::remove_all(temp_path_, ignored);
    throw;
  }
}

OutputFolder::~OutputFolder() {
  stop_reserving();
  files_.clear();
  std::error_code ignored;
  if (!temp_path_.empty()) fs::remove_all(temp_path_, ignored);
}

void OutputFolder::reserve_side_by_side() {
  try_to([&] {
    if (!files_.front()->reserve_more()) return;
    const auto threads = static_cast<unsigned>(std::min<size_t>(usable_cpus(), files_.size()));
    reservers_ = std::make_unique<Crew>(threads, [this](unsigned) { try_to([this] { reserve_in_turn(); }); });
  });
}

// A piece of one file after the other: all are written from their starts on.
void OutputFolder::reserve_in_turn() {
  for (size_t done = 0; done < files_.size() && !stopped_;)
    done = files_[next_++ % files_.size()]->reserve_more() ? 0 : done + 1;
}

void OutputFolder::stop_reserving() {
  stopped_ = true;
  reservers_.reset();
}

void OutputFolder::commit() {
  if (options_.discard) return;
  stop_reserving();
  for (const std::unique_ptr<OutputFile>& file : files_) file->commit();
  files_.clear();
  write_index();
  if (options_.check_stop) options_.check_stop();
  publish();
}

void OutputFolder::write_index() const {
  const fs::path path = fs::path(temp_path_) / shards_.index_name;
  const std::optional<File> file = File::create_new(path, 0600);
  if (!file) throw Error(ErrorCode::io, fmt::format("[create] {}: exists", printable(path.string())));
  file->write_at(0, std::as_bytes(std::span(shards_.index_json)));
  if (options_.durable) file->sync();
  file->set_mode(options_.mode.value_or(mode_for_new_file()));
}

void OutputFolder::publish() {
  set_folder_mode(temp_path_, mode_for_new_folder());
  if (options_.durable) sync_folder(temp_path_);
  fs::path old;
  if (options_.force && fs::exists(fs::symlink_status(final_path_))) {
    check_target(final_path_, OutputKind::folder, true, options_.inputs);
    old = swap_in();
  } else {
    rename_path(temp_path_, final_path_, Replace::no);
  }
  temp_path_.clear();
  if (options_.durable) sync_folder(folder_of(final_path_));
  if (!old.empty()) remove_old_output(old);
  lock_.release();
}

// Puts the new folder in the old one's place and returns where the old one is now. Where the file system
// cannot exchange names the output is missing for a moment, and the old one returns if the second rename
// fails.
fs::path OutputFolder::swap_in() const {
  if (exchange_paths(temp_path_, final_path_)) return temp_path_;
  fs::path old = sibling(final_path_, part_suffix());
  rename_path(final_path_, old, Replace::no);
  try {
    rename_path(temp_path_, final_path_, Replace::no);
  } catch (...) {
    rename_path(old, final_path_, Replace::no);
    throw;
  }
  return old;
}

}  // namespace octavo::checkpoint
