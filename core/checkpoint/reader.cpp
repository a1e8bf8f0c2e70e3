#include "checkpoint/reader.hpp"

#include "base/error.hpp"
#include "base/hash.hpp"
#include "checkpoint/folder.hpp"
#include "checkpoint/framing.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace octavo::checkpoint {
namespace {

// Every tensor of the index stands in the shard that the index names.
void check_against_index(const ShardIndex& index, const std::string& index_file,
                         const std::vector<std::string>& shards, const Checkpoint& checkpoint) {
  for (const auto& [tensor, shard] : index.weight_map) {
    const TensorRef* const found = checkpoint.find(tensor);
    if (found == nullptr || shards[found->file] != shard)
      throw Error(ErrorCode::bad_input,
                  fmt::format("[index] {}: tensor \"{}\" is not in the shard \"{}\"", printable(index_file),
                              printable(tensor), printable(shard)));
  }
}

}  // namespace

Checkpoint Checkpoint::open(const std::filesystem::path& path, Strictness strictness) try {
  Checkpoint checkpoint;
  const std::filesystem::path file = find_checkpoint(path);
  std::string hashes;
  if (is_index(file))
    checkpoint.open_shards(file, strictness, hashes);
  else
    checkpoint.add_file(file, strictness, hashes);
  checkpoint.sort_tensors();
  checkpoint.header_hash_ = checkpoint.sources_.size() == 1 ? hashes : xxh3_128_hex(hashes);
  return checkpoint;
} catch (const std::filesystem::filesystem_error& error) {
  throw Error(ErrorCode::io, fmt::format("[open] {}: {}", printable(path.string()), error.code().message()));
}

void Checkpoint::add_file(const std::filesystem::path& path, Strictness strictness, std::string& hashes) {
  Source source{File::open_to_read(path), {}, 0};
  source.snapshot = source.file.snapshot();
  FramedHeader framed = read_header(source.file, strictness);
  source.data_start = framed.header.data_start;
  hashes += xxh3_128_hex(framed.json);
  const auto index = static_cast<uint32_t>(sources_.size());
  tensors_.reserve(tensors_.size() + framed.header.tensors.size());
  for (TensorInfo& info : framed.header.tensors) tensors_.push_back({std::move(info), index});
  const std::string shown = printable(path.filename().string());
  for (const Note& note : framed.header.notes)
    notes_.push_back({fmt::format("{}: {}", shown, note.text), note.tolerated});
  merge_metadata(framed.header.metadata, shown);
  sources_.push_back(std::move(source));
}

void Checkpoint::open_shards(const std::filesystem::path& index_path, Strictness strictness,
                             std::string& hashes) {
  const File index_file = File::open_to_read(index_path);
  indexes_.push_back({index_path, index_file.snapshot()});
  const ShardIndex index = parse_index(read_text(index_file, kMaxHeaderBytes, "index"), index_file.path());
  std::set<std::string> names;
  for (const auto& [tensor, shard] : index.weight_map) names.insert(shard);
  const std::vector<std::string> shards(names.begin(), names.end());
  for (const std::string& shard : shards) add_file(shard_path(index_path, shard), strictness, hashes);
  sort_tensors();
  check_against_index(index, index_file.path(), shards, *this);
  if (tensors_.size() > index.weight_map.size())
    notes_.push_back({fmt::format("{} tensors are in the shards but not in the index",
                                  tensors_.size() - index.weight_map.size())});
  uint64_t bytes = 0;
  for (const TensorRef& tensor : tensors_) bytes += tensor.info.bytes();
  if (index.total_size && *index.total_size != static_cast<double>(bytes))
    notes_.push_back({fmt::format("the index says total_size {:.0f}, the tensors have {} bytes",
                                  *index.total_size, bytes)});
}

void Checkpoint::merge_metadata(const std::map<std::string, std::string>& metadata, const std::string& file) {
  for (const auto& [key, value] : metadata) {
    const auto [position, inserted] = metadata_.emplace(key, value);
    if (!inserted && position->second != value)
      notes_.push_back({fmt::format("{}: its metadata \"{}\" differs from an earlier file's, which stands",
                                    file, printable(key))});
  }
}

void Checkpoint::sort_tensors() {
  const auto by_name = [](const TensorRef& a, const TensorRef& b) { return a.info.name < b.info.name; };
  if (!std::is_sorted(tensors_.begin(), tensors_.end(), by_name))
    std::sort(tensors_.begin(), tensors_.end(), by_name);
  const auto twice =
      std::adjacent_find(tensors_.begin(), tensors_.end(),
                         [](const TensorRef& a, const TensorRef& b) { return a.info.name == b.info.name; });
  if (twice == tensors_.end()) return;
  throw Error(ErrorCode::bad_input,
              fmt::format("[open] tensor \"{}\" is in two shards: {} and {}", printable(twice->info.name),
                          printable(sources_[twice->file].file.path()),
                          printable(sources_[std::next(twice)->file].file.path())));
}

const TensorRef* Checkpoint::find(std::string_view name) const {
  const auto found =
      std::lower_bound(tensors_.begin(), tensors_.end(), name,
                       [](const TensorRef& tensor, std::string_view key) { return tensor.info.name < key; });
  return found != tensors_.end() && found->info.name == name ? &*found : nullptr;
}

void Checkpoint::read(const TensorRef& tensor, uint64_t offset, std::span<std::byte> bytes) const {
  const uint64_t size = tensor.info.bytes();
  if (offset > size || bytes.size() > size - offset)
    throw Error(ErrorCode::failed, fmt::format("[read] tensor \"{}\" has {} bytes, asked for {} at {}",
                                               printable(tensor.info.name), size, bytes.size(), offset));
  const Place place = place_of(tensor);
  place.file.read_at(place.offset + offset, bytes);
}

Checkpoint::Place Checkpoint::place_of(const TensorRef& tensor) const {
  const Source& source = sources_[tensor.file];
  return {source.file, source.data_start + tensor.info.begin};
}

uint64_t Checkpoint::source_bytes() const {
  uint64_t bytes = 0;
  for (const Source& source : sources_) bytes += source.snapshot.size;
  return bytes;
}

std::vector<std::filesystem::path> Checkpoint::files() const {
  std::vector<std::filesystem::path> paths;
  for (const Source& source : sources_) paths.emplace_back(source.file.path());
  return paths;
}

std::vector<FileIdentity> Checkpoint::identities() const {
  std::vector<FileIdentity> all;
  for (const Index& index : indexes_) all.push_back(index.snapshot.identity);
  for (const Source& source : sources_) all.push_back(source.snapshot.identity);
  return all;
}

void Checkpoint::verify_unchanged() const {
  for (const Source& source : sources_) octavo::verify_unchanged(source.file.path(), source.snapshot);
  for (const Index& index : indexes_) octavo::verify_unchanged(index.path, index.snapshot);
}

}  // namespace octavo::checkpoint
