#include "run/output.hpp"

#include <utility>

namespace octavo::run {

Output::Output(const plan::Plan& plan, std::filesystem::path path, const checkpoint::ShardRule* shards)
    : path_(std::move(path)), sharded_(shards != nullptr) {
  std::vector<const checkpoint::Layout*> layouts;
  if (sharded_) {
    std::vector<checkpoint::GroupedTensor> tensors;
    for (size_t i = 0; i < plan.outputs.size(); ++i) tensors.push_back({plan.outputs[i], plan.groups[i]});
    shards_ = checkpoint::lay_out_shards(plan.metadata, std::move(tensors), *shards);
    for (const checkpoint::Layout& layout : shards_.layouts) layouts.push_back(&layout);
    file_bytes_ = shards_.bytes();
  } else {
    layout_ = checkpoint::lay_out(plan.metadata, plan.outputs);
    layouts.push_back(&layout_);
    file_bytes_ = layout_.file_bytes;
  }
  place(plan.outputs.size(), layouts);
}

void Output::place(size_t outputs, const std::vector<const checkpoint::Layout*>& layouts) {
  places_.resize(outputs);
  offsets_.resize(outputs);
  for (uint32_t file = 0; file < layouts.size(); ++file) {
    for (const checkpoint::PlacedTensor& placed : layouts[file]->tensors) {
      places_[placed.index] = {file, placed.offset};
      offsets_[placed.index] = placed.offset;
    }
  }
}

void Output::begin(const checkpoint::OutputOptions& options) {
  if (sharded_) {
    folder_ = std::make_unique<checkpoint::OutputFolder>(path_, shards_, options);
  } else {
    file_ = std::make_unique<checkpoint::OutputFile>(path_, layout_, options);
  }
}

void Output::write(size_t output, uint64_t offset, std::span<const std::byte> bytes) {
  const Place& place = places_[output];
  checkpoint::OutputFile& file = sharded_ ? folder_->shard(place.file) : *file_;
  file.write(place.offset + offset, bytes);
}

void Output::begin_again() {
  if (file_) file_->begin_again();
  if (!folder_) return;
  for (size_t i = 0; i < folder_->size(); ++i) folder_->shard(i).begin_again();
}

void Output::commit() {
  if (sharded_) {
    folder_->commit();
  } else {
    file_->commit();
  }
}

std::vector<std::string> Output::temporary_paths() const {
  std::vector<std::string> paths;
  if (sharded_) {
    for (size_t i = 0; i < folder_->size(); ++i) {
      const std::string& shard = folder_->shard(i).temp_path();
      paths.push_back(shard);
      paths.push_back(checkpoint::lock_path(folder_->shard(i).final_path()).string());
    }
    paths.push_back(folder_->temp_path());
  } else {
    paths.push_back(file_->temp_path());
  }
  paths.push_back(checkpoint::lock_path(path_).string());
  return paths;
}

}  // namespace octavo::run
