// The static functions are called by plugins: nothing may be thrown out of them.
#include "plugin/header.hpp"

#include "checkpoint/reader.hpp"
#include "plugin/versions.hpp"

#include <algorithm>
#include <exception>
#include <string_view>
#include <utility>

namespace octavo::plugin {
namespace {

Header& self(void* context) { return *static_cast<Header*>(context); }

std::vector<HeaderEntry> entries_of(const checkpoint::Checkpoint& checkpoint) {
  std::vector<HeaderEntry> made;
  made.reserve(checkpoint.tensors().size());
  for (const checkpoint::TensorRef& tensor : checkpoint.tensors()) {
    const checkpoint::TensorInfo& info = tensor.info;
    made.push_back({info.name, info.dtype, {info.shape.begin(), info.shape.end()}, info.bytes()});
  }
  return made;
}

Header::ReadMarker reader_of(const checkpoint::Checkpoint& checkpoint) {
  return [&checkpoint](std::uint64_t index, std::vector<std::uint8_t>& bytes) {
    checkpoint.read(checkpoint.tensors()[index], 0, std::as_writable_bytes(std::span(bytes)));
  };
}

}  // namespace

Header::Header(std::vector<HeaderEntry> tensors, std::map<std::string, std::string> metadata,
               ReadMarker read_marker)
    : tensors_(std::move(tensors)), metadata_(std::move(metadata)), read_marker_(std::move(read_marker)) {
  raw_ = {sizeof raw_, 0, this, tensors_.size(), get_tensor, find, Header::metadata, marker};
}

Header::Header(const checkpoint::Checkpoint& checkpoint)
    : Header(entries_of(checkpoint), checkpoint.metadata(), reader_of(checkpoint)) {}

octavo_header_tensor Header::tensor(std::uint64_t index) const {
  const HeaderEntry& entry = tensors_.at(index);
  octavo_header_tensor made{};
  made.struct_size = sizeof made;
  made.dtype = entry.dtype;
  made.name = entry.name.c_str();
  made.rank = static_cast<std::uint32_t>(entry.shape.size());
  made.shape = entry.shape.data();
  return made;
}

void Header::check_markers() const {
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
}

octavo_status Header::get_tensor(void* context, std::uint64_t index, octavo_header_tensor* tensor) {
  const Header& header = self(context);
  if (tensor == nullptr || tensor->struct_size < OCTAVO_FIRST_SIZE(octavo_header_tensor, shape) ||
      index >= header.tensors_.size())
    return OCTAVO_BAD_ARGUMENT;
  write_known_part(header.tensor(index), *tensor);
  return OCTAVO_OK;
}

std::int64_t Header::find(void* context, const char* name) {
  if (name == nullptr) return -1;
  const std::vector<HeaderEntry>& tensors = self(context).tensors_;
  const auto before = [](const HeaderEntry& entry, std::string_view wanted) { return entry.name < wanted; };
  const auto place = std::lower_bound(tensors.begin(), tensors.end(), std::string_view(name), before);
  return place == tensors.end() || place->name != name ? -1 : place - tensors.begin();
}

const char* Header::metadata(void* context, const char* key) {
  if (key == nullptr) return nullptr;
  try {
    const auto& entries = self(context).metadata_;
    const auto place = entries.find(key);
    return place == entries.end() ? nullptr : place->second.c_str();
  } catch (...) {  // no memory for the key
    return nullptr;
  }
}

const std::uint8_t* Header::marker(void* context, std::uint64_t index, std::uint64_t* size) {
  if (size == nullptr) return nullptr;
  Header& header = self(context);
  try {
    const std::vector<std::uint8_t>* bytes = header.read_marker(index);
    if (bytes == nullptr) return nullptr;
    *size = bytes->size();
    static constexpr std::uint8_t kNothing = 0;
    return bytes->empty() ? &kNothing : bytes->data();
  } catch (...) {
    const std::lock_guard lock(header.mutex_);
    if (!header.failure_) header.failure_ = std::current_exception();
    return nullptr;
  }
}

const std::vector<std::uint8_t>* Header::read_marker(std::uint64_t index) {
  if (index >= tensors_.size()) return nullptr;
  const HeaderEntry& entry = tensors_[index];
  if (entry.dtype != OCTAVO_U8 || entry.bytes > kMaxMarkerBytes) return nullptr;
  const std::lock_guard lock(mutex_);
  const auto known = markers_.find(index);
  if (known != markers_.end()) return &known->second;
  std::vector<std::uint8_t> bytes(entry.bytes);
  read_marker_(index, bytes);
  return &markers_.emplace(index, std::move(bytes)).first->second;
}

}  // namespace octavo::plugin
