#include "checkpoint/layout.hpp"

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "checkpoint/dtypes.hpp"
#include "checkpoint/header.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <iterator>
#include <optional>
#include <unordered_set>

namespace octavo::checkpoint {
namespace {

constexpr size_t kAlignment = 8;
constexpr size_t kLengthBytes = 8;

[[noreturn]] void refuse(ErrorCode code, const std::string& tensor, const std::string& what) {
  throw Error(code, fmt::format("[layout] tensor \"{}\": {}", printable(tensor), what));
}

void check_names(const std::vector<OutputTensor>& tensors) {
  if (tensors.size() > kMaxTensors)
    throw Error(ErrorCode::unsupported,
                fmt::format("[layout] {} tensors, the limit is {}", tensors.size(), kMaxTensors));
  std::unordered_set<std::string_view> seen;
  seen.reserve(tensors.size());
  for (const OutputTensor& tensor : tensors) {
    if (tensor.name.size() > kMaxNameBytes)
      refuse(ErrorCode::unsupported, tensor.name,
             fmt::format("the name has {} bytes, the limit is {}", tensor.name.size(), kMaxNameBytes));
    if (tensor.name == "__metadata__") refuse(ErrorCode::bad_input, tensor.name, "the name is reserved");
    if (!seen.insert(tensor.name).second) refuse(ErrorCode::bad_input, tensor.name, "would be there twice");
  }
}

// By dtype, wide ones first, then by name: the order of the reference writer.
std::vector<OutputTensor*> in_file_order(std::vector<OutputTensor>& tensors) {
  std::vector<OutputTensor*> order;
  order.reserve(tensors.size());
  for (OutputTensor& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const OutputTensor* a, const OutputTensor* b) {
    return a->dtype != b->dtype ? a->dtype > b->dtype : a->name < b->name;
  });
  return order;
}

// Gives every tensor its bytes and its place, counted from the start of the data; returns the data's size.
uint64_t place(std::vector<OutputTensor>& tensors, std::vector<PlacedTensor>& placed) {
  uint64_t end = 0;
  placed.reserve(tensors.size());
  for (OutputTensor* ordered : in_file_order(tensors)) {
    OutputTensor& tensor = *ordered;
    const std::optional<uint64_t> bytes = byte_count(tensor.dtype, tensor.shape);
    const std::optional<uint64_t> next = bytes ? checked_add(end, *bytes) : std::nullopt;
    if (!next)
      refuse(ErrorCode::unsupported, tensor.name,
             fmt::format("{} [{}] has no size in whole bytes that fits 64 bits", name(tensor.dtype),
                         fmt::join(tensor.shape, ", ")));
    const auto index = static_cast<size_t>(ordered - tensors.data());
    placed.push_back({std::move(tensor), index, end, *bytes});
    end = *next;
  }
  return end;
}

std::string header_json(const std::map<std::string, std::string>& metadata,
                        const std::vector<PlacedTensor>& placed) {
  fmt::memory_buffer json;
  json.push_back('{');
  const auto separate = [&] {
    if (json[json.size() - 1] != '{') json.push_back(',');
  };
  if (!metadata.empty()) {
    json.append(std::string_view("\"__metadata__\":{"));
    for (const auto& [key, value] : metadata) {
      separate();
      json.append(json_text(key) + ':' + json_text(value));
    }
    json.push_back('}');
  }
  for (const PlacedTensor& entry : placed) {
    separate();
    fmt::format_to(std::back_inserter(json),
                   "{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                   json_text(entry.tensor.name), name(entry.tensor.dtype), fmt::join(entry.tensor.shape, ","),
                   entry.offset, entry.offset + entry.bytes);
  }
  json.push_back('}');
  return fmt::to_string(json);
}

std::string framed(std::string json) {
  json.append((kAlignment - json.size() % kAlignment) % kAlignment, ' ');
  if (json.size() > kMaxHeaderBytes)
    throw Error(
        ErrorCode::unsupported,
        fmt::format("[layout] the header has {} bytes, the format allows {}", json.size(), kMaxHeaderBytes),
        "write several files (--shards)");
  std::string bytes;
  for (int shift = 0; shift < 64; shift += 8) bytes += static_cast<char>((json.size() >> shift) & 0xff);
  return bytes + json;
}

}  // namespace

// The file order is by dtype first, so a name is looked for among the tensors of each dtype.
const PlacedTensor* Layout::find(std::string_view name) const {
  for (int dtype = 0; dtype < OCTAVO_DTYPE_COUNT; ++dtype) {
    const auto before = [&](const PlacedTensor& placed, std::string_view key) {
      return placed.tensor.dtype != dtype ? placed.tensor.dtype > dtype : placed.tensor.name < key;
    };
    const auto found = std::lower_bound(tensors.begin(), tensors.end(), name, before);
    if (found != tensors.end() && found->tensor.dtype == dtype && found->tensor.name == name) return &*found;
  }
  return nullptr;
}

Layout lay_out(const std::map<std::string, std::string>& metadata, std::vector<OutputTensor> tensors) {
  check_names(tensors);
  Layout layout;
  const uint64_t data_bytes = place(tensors, layout.tensors);
  layout.header_bytes = framed(header_json(metadata, layout.tensors));
  const uint64_t data_start = layout.header_bytes.size();
  const std::optional<uint64_t> total = checked_add(data_start, data_bytes);
  // File offsets are signed in the kernel.
  if (!total || *total > static_cast<uint64_t>(INT64_MAX))
    throw Error(ErrorCode::unsupported, fmt::format("[layout] {} bytes of data fit no file", data_bytes));
  layout.file_bytes = *total;
  for (PlacedTensor& placed : layout.tensors) placed.offset += data_start;
  return layout;
}

void align_data(Layout& layout, uint64_t start, uint64_t period) {
  const uint64_t data_start = layout.header_bytes.size();
  const uint64_t more = (start % period + period - data_start % period) % period;
  std::string json = layout.header_bytes.substr(kLengthBytes);
  json.append(more, ' ');
  layout.header_bytes = framed(std::move(json));
  for (PlacedTensor& placed : layout.tensors) placed.offset += more;
  layout.file_bytes += more;
}

std::string json_text(const std::string& text) {
  // What nearly every name is, and what a large header spends its time on.
  const auto stands_for_itself = [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; };
  if (std::all_of(text.begin(), text.end(), stands_for_itself)) return '"' + text + '"';
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::type_error&) {
    throw Error(ErrorCode::bad_input, fmt::format("[layout] \"{}\" is not valid UTF-8", printable(text)));
  }
}

}  // namespace octavo::checkpoint
