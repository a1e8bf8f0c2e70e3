#include "checkpoint/folder.hpp"

#include "base/error.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>

namespace octavo::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexEnd = ".safetensors.index.json";
constexpr size_t kNamedCandidates = 8;

[[noreturn]] void refuse_index(const std::string& file, const std::string& what) {
  throw Error(ErrorCode::bad_input, fmt::format("[index] {}: {}", printable(file), what));
}

// SAX handler: {"metadata": {"total_size": n, ...}, "weight_map": {tensor: shard, ...}, ...}; the rest is
// skipped.
class IndexReader {
 public:
  explicit IndexReader(std::string file) : file_(std::move(file)) {}

  ShardIndex take() {
    if (!seen_map_) refuse_index(file_, "no weight_map");
    return std::move(index_);
  }

  bool null() { return other(); }
  bool boolean(bool) { return other(); }
  bool number_integer(int64_t) { return other(); }
  bool number_unsigned(uint64_t value) { return number(static_cast<double>(value)); }
  bool number_float(double value, const std::string&) { return number(value); }
  bool binary(std::vector<uint8_t>&) { return other(); }
  bool string(std::string& value) {
    if (!in_map()) return other();
    if (index_.weight_map.size() == kMaxTensors)
      refuse_index(file_, fmt::format("more than {} tensors", kMaxTensors));
    if (!index_.weight_map.emplace(key_, std::move(value)).second)
      refuse_index(file_, fmt::format("tensor \"{}\" is there twice", printable(key_)));
    return true;
  }
  bool start_object(size_t) {
    if (in_map()) return other();
    if (++depth_ > kMaxDepth) refuse_index(file_, fmt::format("nested deeper than {} levels", kMaxDepth));
    if (depth_ == 2 && section_ == "weight_map" && std::exchange(seen_map_, true))
      refuse_index(file_, "weight_map is there twice");
    return true;
  }
  bool end_object() {
    --depth_;
    return true;
  }
  bool start_array(size_t) {
    if (in_map() || depth_ == 0) return other();
    if (++depth_ > kMaxDepth) refuse_index(file_, fmt::format("nested deeper than {} levels", kMaxDepth));
    return true;
  }
  bool end_array() {
    --depth_;
    return true;
  }
  bool key(std::string& key) {
    if (depth_ == 1) section_ = key;
    key_ = std::move(key);
    return true;
  }
  bool parse_error(size_t position, const std::string& token, const nlohmann::json::exception&) {
    refuse_index(file_, fmt::format("not valid JSON at byte {} near \"{}\"", position, printable(token)));
  }

 private:
  bool in_map() const { return depth_ == 2 && section_ == "weight_map"; }
  bool number(double value) {
    if (depth_ == 2 && section_ == "metadata" && key_ == "total_size") {
      index_.total_size = value;
      return true;
    }
    return other();
  }
  // A value without a meaning here is skipped, but not where the format has only one thing to say.
  bool other() {
    if (depth_ == 0) refuse_index(file_, "not a JSON object");
    if (in_map()) refuse_index(file_, fmt::format("the shard of \"{}\" is not a text", printable(key_)));
    if (depth_ == 1 && section_ == "weight_map") refuse_index(file_, "weight_map is not an object");
    return true;
  }

  const std::string file_;
  ShardIndex index_;
  int depth_ = 0;
  bool seen_map_ = false;
  std::string section_;
  std::string key_;
};

bool is_hidden(const fs::path& file) { return file.filename().native().starts_with('.'); }

// The names in a folder that end with `end`, sorted; hidden ones (temporary files of a run) are not counted.
std::vector<fs::path> files_ending_with(const fs::path& folder, std::string_view end) {
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (!is_hidden(entry.path()) && entry.path().native().ends_with(end)) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

[[noreturn]] void refuse_choice(const fs::path& folder, const std::vector<fs::path>& candidates) {
  std::vector<std::string> names;
  for (const fs::path& candidate : candidates) {
    if (names.size() == kNamedCandidates) {
      names.push_back(fmt::format("{} more", candidates.size() - kNamedCandidates));
      break;
    }
    names.push_back(printable(candidate.filename().string()));
  }
  throw Error(ErrorCode::bad_input,
              fmt::format("[open] {}: {} checkpoints in this folder: {}", printable(folder.string()),
                          candidates.size(), fmt::join(names, ", ")),
              "give the file (or the index) that is meant");
}

fs::path find_in_folder(const fs::path& folder) {
  for (const char* stem : {"diffusion_pytorch_model", "model"}) {
    fs::path single = folder / fmt::format("{}.safetensors", stem);
    fs::path index = folder / fmt::format("{}{}", stem, kIndexEnd);
    const bool has_single = fs::exists(single);
    const bool has_index = fs::exists(index);
    if (has_single && has_index) refuse_choice(folder, {single, index});
    if (has_single) return single;
    if (has_index) return index;
  }
  const std::vector<fs::path> indexes = files_ending_with(folder, kIndexEnd);
  if (indexes.size() == 1) return indexes.front();
  if (indexes.size() > 1) refuse_choice(folder, indexes);
  std::vector<fs::path> singles = files_ending_with(folder, ".safetensors");
  for (fs::path& file : files_ending_with(folder, ".sft")) singles.push_back(std::move(file));
  if (singles.size() == 1) return singles.front();
  if (singles.size() > 1) refuse_choice(folder, singles);
  throw Error(ErrorCode::bad_input,
              fmt::format("[open] {}: no safetensors file in this folder", printable(folder.string())));
}

bool is_inside(const fs::path& path, const fs::path& folder) {
  const fs::path relative = path.lexically_relative(folder);
  return !relative.empty() && *relative.begin() != "..";
}

// A Hugging Face cache keeps ROOT/blobs/HASH and links to it from ROOT/snapshots/REVISION/...
bool is_cache_blob(const fs::path& target, const fs::path& folder) {
  for (fs::path above = folder; above.has_relative_path(); above = above.parent_path())
    if (above.filename() == "snapshots") return is_inside(target, above.parent_path() / "blobs");
  return false;
}

}  // namespace

ShardIndex parse_index(const std::string& json, const std::string& file) {
  if (json.find('\0') != std::string::npos) refuse_index(file, "not valid JSON: it contains NUL");
  IndexReader reader(file);
  const char* const begin = json.data();
  nlohmann::json::sax_parse(begin, begin + json.size(), &reader);
  return reader.take();
}

bool is_index(const fs::path& file) { return file.native().ends_with(".index.json"); }

fs::path find_checkpoint(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status))
    throw Error(ErrorCode::io, fmt::format("[open] {}: {}", printable(path.string()),
                                           error ? error.message() : "no such file or folder"));
  return fs::is_directory(status) ? find_in_folder(path) : path;
}

fs::path shard_path(const fs::path& index, const std::string& shard) {
  const fs::path folder = index.parent_path().empty() ? "." : index.parent_path();
  const auto refuse = [&](const char* why) {
    return Error(ErrorCode::bad_input, fmt::format("[index] {}: shard \"{}\" {}", printable(index.string()),
                                                   printable(shard), why));
  };
  const bool plain = !shard.empty() && shard != "." && shard != ".." &&
                     shard.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
  if (!plain) throw refuse("is not the plain name of a file in the folder of the index");
  fs::path path = folder / shard;
  std::error_code error;
  if (!fs::exists(path, error)) throw refuse("is missing");
  const fs::path real_folder = fs::canonical(folder);
  const fs::path target = fs::canonical(path);
  if (!is_inside(target, real_folder) && !is_cache_blob(target, real_folder))
    throw refuse("is a link to a file outside of the folder of the index");
  return path;
}

}  // namespace octavo::checkpoint
