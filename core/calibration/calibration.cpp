#include "calibration/calibration.hpp"

#include "base/error.hpp"
#include "base/hash.hpp"
#include "calibration/row_sample.hpp"
#include "reference/convert.hpp"

#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace octavo::calibration {
namespace {

constexpr uint64_t kLargestText = uint64_t{1} << 30;

// Index of the first value that is infinite or NaN, whose bits of the exponent are all set, or -1.
template <typename Bits>
int64_t first_nonfinite(const std::byte* data, int64_t count, Bits exponent) {
  constexpr int64_t kChunk = 4096;  // looked at without a branch for each value
  const auto* values = reinterpret_cast<const Bits*>(data);
  for (int64_t begin = 0; begin < count; begin += kChunk) {
    const int64_t end = std::min(begin + kChunk, count);
    unsigned found = 0;
    for (int64_t i = begin; i < end; ++i) found |= static_cast<unsigned>((values[i] & exponent) == exponent);
    if (found == 0) continue;
    return std::find_if(values + begin, values + end,
                        [&](Bits value) { return (value & exponent) == exponent; }) -
           values;
  }
  return -1;
}

int64_t first_nonfinite(const std::byte* data, uint32_t dtype, int64_t count) {
  if (dtype == OCTAVO_BF16) return first_nonfinite<uint16_t>(data, count, 0x7f80);
  if (dtype == OCTAVO_F16) return first_nonfinite<uint16_t>(data, count, 0x7c00);
  return first_nonfinite<uint32_t>(data, count, 0x7f800000);
}

void append(std::string& text, const std::vector<float>& values) {
  text.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

// Of the header, the statistics, and the first and last row of every layer's inputs: another recording has
// another one, and files may be too large to be read for it.
std::string fingerprint(const checkpoint::Checkpoint& file, const FileContents& contents) {
  std::string text = file.header_hash();
  for (const auto& [layer, said] : contents.layers) {
    append(text, said.mean);
    append(text, said.channel_max);
    if (said.input_scale) append(text, {*said.input_scale});
    if (said.samples == nullptr) continue;
    const uint64_t row_bytes = said.samples->info.bytes() / said.samples->info.shape[0];
    std::string row(row_bytes, '\0');
    for (const uint64_t index : {uint64_t{0}, said.samples->info.shape[0] - 1}) {
      file.read(*said.samples, index * row_bytes, std::as_writable_bytes(std::span(row)));
      text += xxh3_128_hex(row);
    }
  }
  return xxh3_128_hex(text);
}

}  // namespace

void Calibration::identify(const std::string& hash, uint64_t bytes) {
  hash_ = hash_.empty() ? hash : xxh3_128_hex(hash_ + hash);
  bytes_ += bytes;
}

FileContents Calibration::read_file(const std::filesystem::path& path) {
  const std::string shown = printable(path.filename().string());
  if (path.extension() == ".json" && !path.string().ends_with(".index.json")) {
    const File file = File::open_to_read(path);
    texts_[path] = file.snapshot();
    const std::string text = read_text(file, kLargestText, "calibration");
    identify(xxh3_128_hex(text), text.size());
    identities_.push_back(texts_[path].identity);
    return read_json_text(text, shown);
  }
  const checkpoint::Checkpoint& file =
      *files_.emplace_back(std::make_unique<checkpoint::Checkpoint>(checkpoint::Checkpoint::open(path)));
  for (const FileIdentity& identity : file.identities()) identities_.push_back(identity);
  FileContents contents = read_tensor_file(file, shown);
  identify(fingerprint(file, contents), file.source_bytes());
  for (const auto& [layer, said] : contents.layers) {
    if (said.samples != nullptr) holders_[said.samples] = &file;
  }
  return contents;
}

void Calibration::add_group(const std::string& layer, LayerContents contents) {
  InputGroup& group = groups_[layer];
  group.name = layer;
  if (group.contents.samples == nullptr && contents.samples != nullptr) {
    group.contents.samples = contents.samples;
    group.contents.recorded = contents.recorded;
    group.rows = sampled_rows(static_cast<int64_t>(contents.samples->info.shape[0]), options_.rows,
                              options_.seed, layer);
  }
  if (group.contents.mean.empty()) group.contents.mean = std::move(contents.mean);
  if (group.contents.channel_max.empty()) group.contents.channel_max = std::move(contents.channel_max);
  if (!group.contents.input_scale) group.contents.input_scale = contents.input_scale;
  layers_.emplace(layer, layer);
}

void Calibration::add(const std::filesystem::path& path) {
  FileContents contents = read_file(path);
  if (contents.layers.empty()) {
    throw Error(
        ErrorCode::bad_input,
        fmt::format("[calibration] {} says nothing about the inputs of any layer",
                    printable(path.filename().string())),
        "tensors LAYER.inputs, LAYER.input_mean, LAYER.channel_max or LAYER.input_scale are looked for");
  }
  notes_.insert(notes_.end(), contents.notes.begin(), contents.notes.end());
  for (auto& [layer, said] : contents.layers) add_group(layer, std::move(said));
  for (const auto& [layer, owner] : contents.shared) layers_.emplace(layer, owner);
}

const InputGroup* Calibration::find(std::string_view layer) const {
  const auto found = layers_.find(layer);
  return found == layers_.end() ? nullptr : &groups_.find(found->second)->second;
}

std::vector<std::string> Calibration::check_against(const checkpoint::Checkpoint& source) const {
  std::vector<std::string> unknown;
  for (const auto& [layer, owner] : layers_) {
    const checkpoint::TensorRef* weight = source.find(layer + ".weight");
    if (weight == nullptr) {
      unknown.push_back(layer);
      continue;
    }
    const int64_t cols = groups_.find(owner)->second.cols();
    const std::vector<uint64_t>& shape = weight->info.shape;
    if (cols == 0 || (shape.size() == 2 && static_cast<int64_t>(shape[1]) == cols)) continue;
    const std::string weight_shape =
        shape.size() == 2 ? fmt::format("{} columns", shape[1]) : fmt::format("{} dimensions", shape.size());
    throw Error(ErrorCode::bad_input,
                fmt::format("[calibration] layer {}: its inputs have {} columns, its weight has {}",
                            printable(layer), cols, weight_shape),
                "the file was recorded from another model, or the layer has another name there");
  }
  if (unknown.empty()) return {};
  if (unknown.size() == layers_.size()) {
    throw Error(ErrorCode::bad_input,
                fmt::format("[calibration] none of the {} layers with inputs is in the checkpoint ({}{})",
                            unknown.size(), printable(unknown.front()), unknown.size() > 1 ? ", ..." : ""),
                "a layer is named as its weight is, without \".weight\"; octavo plan lists the names");
  }
  return {fmt::format("calibration: {} of {} layers are not in the checkpoint ({}{})", unknown.size(),
                      layers_.size(), printable(unknown.front()), unknown.size() > 1 ? ", ..." : "")};
}

void Calibration::verify_unchanged() const {
  for (const auto& file : files_) file->verify_unchanged();
  for (const auto& [path, snapshot] : texts_) octavo::verify_unchanged(path, snapshot);
}

void Calibration::read(const InputGroup& group, int64_t begin, int64_t count,
                       std::span<std::byte> bytes) const {
  const checkpoint::TensorRef& tensor = *group.contents.samples;
  const checkpoint::Checkpoint& file = *holders_.at(&tensor);
  const auto cols = static_cast<int64_t>(tensor.info.shape[1]);
  const uint64_t row_bytes = static_cast<uint64_t>(cols) * octavo::bytes_of(tensor.info.dtype);
  // Neighbours come with one call: a file that was made with no more rows than are kept is read at once.
  for (int64_t at = 0; at < count;) {
    const int64_t first = group.rows[static_cast<size_t>(begin + at)];
    int64_t run = 1;
    while (at + run < count && group.rows[static_cast<size_t>(begin + at + run)] == first + run) ++run;
    file.read(tensor, static_cast<uint64_t>(first) * row_bytes,
              bytes.subspan(static_cast<uint64_t>(at) * row_bytes, static_cast<uint64_t>(run) * row_bytes));
    at += run;
  }
  if (const int64_t i = first_nonfinite(bytes.data(), tensor.info.dtype, count * cols); i >= 0) {
    throw Error(ErrorCode::bad_input,
                fmt::format("[calibration] {}: row {}, column {} is not finite", printable(tensor.info.name),
                            group.rows[static_cast<size_t>(begin + i / cols)], i % cols),
                "the model that was recorded overflowed; record it in bfloat16 or float32");
  }
}

}  // namespace octavo::calibration
