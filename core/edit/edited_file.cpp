#include "edit/edited_file.hpp"

#include "checkpoint/preflight.hpp"

#include <algorithm>
#include <span>
#include <utility>

namespace octavo::edit {
namespace {

constexpr uint64_t kPiece = uint64_t{64} << 20;

// Bytes that lie together in the source and in the output.
struct Run {
  const File* file = nullptr;
  uint64_t from = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;

  bool continues_with(const File& other, uint64_t other_from, uint64_t other_offset) const {
    return file == &other && from + bytes == other_from && offset + bytes == other_offset;
  }
};

uint64_t data_start(const checkpoint::Checkpoint& source, const checkpoint::TensorRef& tensor) {
  return source.place_of(tensor).offset - tensor.info.begin;
}

}  // namespace

EditedFile::EditedFile(const checkpoint::Checkpoint& source, const EditPlan& plan,
                       const std::string& index_name)
    : source_(source), plan_(plan) {
  std::vector<std::vector<checkpoint::OutputTensor>> by_file(source.files().size());
  for (const checkpoint::TensorRef& tensor : source.tensors()) {
    checkpoint::OutputTensor output{tensor.info.name, tensor.info.dtype, tensor.info.shape};
    if (const auto marker = plan.markers.find(output.name); marker != plan.markers.end())
      output.shape = {marker->second.size()};
    by_file[tensor.file].push_back(std::move(output));
  }
  for (uint32_t file = 0; file < by_file.size(); ++file) lay_out_file(file, std::move(by_file[file]));
  for (const std::filesystem::path& path : source.files()) shards_.names.push_back(path.filename().string());
  if (index_name.empty()) return;
  shards_.index_name = index_name;
  shards_.index_json = checkpoint::index_text(shards_);
}

void EditedFile::lay_out_file(uint32_t file, std::vector<checkpoint::OutputTensor> tensors) {
  checkpoint::Layout layout = checkpoint::lay_out(plan_.metadata, std::move(tensors));
  const auto& all = source_.tensors();
  const auto any =
      std::find_if(all.begin(), all.end(), [&](const auto& tensor) { return tensor.file == file; });
  if (any != all.end()) checkpoint::align_data(layout, data_start(source_, *any), kSharedBlock);
  shards_.layouts.push_back(std::move(layout));
}

uint64_t EditedFile::file_bytes() const { return shards_.bytes(); }

void EditedFile::fill(checkpoint::OutputFile& output,
                      const std::function<void(const CopyProgress&)>& progress) {
  Run run;
  const auto copy = [&] {
    for (uint64_t done = 0; done < run.bytes;) {
      // Later pieces begin with a block of the source.
      const uint64_t piece = std::min(kPiece - (run.from + done) % kSharedBlock, run.bytes - done);
      shared_bytes_ += output.copy_from(*run.file, run.from + done, run.offset + done, piece);
      done += piece;
      bytes_done_ += piece;
      progress({bytes_done_, shards_.bytes()});
    }
    run = {};
  };
  for (const checkpoint::PlacedTensor& placed : output.layout().tensors) {
    if (const auto marker = plan_.markers.find(placed.tensor.name); marker != plan_.markers.end()) {
      copy();
      output.write(placed.offset, std::as_bytes(std::span(marker->second)));
      continue;
    }
    const checkpoint::Checkpoint::Place place = source_.place_of(*source_.find(placed.tensor.name));
    if (!run.continues_with(place.file, place.offset, placed.offset)) {
      copy();
      run = {&place.file, place.offset, placed.offset, 0};
    }
    run.bytes += placed.bytes;
  }
  copy();
}

void EditedFile::check(const std::filesystem::path& path, const checkpoint::OutputOptions& options) const {
  const checkpoint::OutputKind kind =
      shards_.index_name.empty() ? checkpoint::OutputKind::file : checkpoint::OutputKind::folder;
  const std::filesystem::path target = checkpoint::output_name(path, kind);
  checkpoint::check_target(target, kind, options.force, options.inputs);
  checkpoint::check_room(checkpoint::folder_of(target), shards_.bytes(), shards_.largest_file());
}

void EditedFile::write(const std::filesystem::path& path, const checkpoint::OutputOptions& options,
                       const std::function<void(const CopyProgress&)>& progress,
                       const std::function<void(const std::vector<std::string>&)>& watch) {
  if (shards_.index_name.empty()) {
    checkpoint::OutputFile file(path, shards_.layouts.front(), options);
    watch({file.temp_path(), checkpoint::lock_path(file.final_path()).string()});
    fill(file, progress);
    source_.verify_unchanged();
    file.commit();
  } else {
    checkpoint::OutputFolder folder(path, shards_, options);
    std::vector<std::string> paths;
    for (size_t i = 0; i < folder.size(); ++i) {
      paths.push_back(folder.shard(i).temp_path());
      paths.push_back(checkpoint::lock_path(folder.shard(i).final_path()).string());
    }
    paths.push_back(folder.temp_path());
    paths.push_back(
        checkpoint::lock_path(checkpoint::output_name(path, checkpoint::OutputKind::folder)).string());
    watch(paths);
    for (size_t i = 0; i < folder.size(); ++i) fill(folder.shard(i), progress);
    source_.verify_unchanged();
    folder.commit();
  }
  watch({});
}

}  // namespace octavo::edit
