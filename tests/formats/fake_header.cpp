#include "fake_header.hpp"

#include <algorithm>

namespace octavo::test {

FakeHeader::FakeHeader(std::vector<FakeTensor> tensors, std::map<std::string, std::string> metadata)
    : tensors_(std::move(tensors)), metadata_(std::move(metadata)) {
  std::sort(tensors_.begin(), tensors_.end(),
            [](const FakeTensor& a, const FakeTensor& b) { return a.name < b.name; });
  raw_ = {sizeof raw_, 0, this, tensors_.size(), tensor, find, FakeHeader::metadata, marker};
}

octavo_status FakeHeader::tensor(void* context, std::uint64_t index, octavo_header_tensor* tensor) {
  const FakeTensor& source = static_cast<FakeHeader*>(context)->tensors_.at(index);
  tensor->dtype = source.dtype;
  tensor->name = source.name.c_str();
  tensor->rank = static_cast<std::uint32_t>(source.shape.size());
  tensor->shape = source.shape.data();
  return OCTAVO_OK;
}

std::int64_t FakeHeader::find(void* context, const char* name) {
  const auto& tensors = static_cast<FakeHeader*>(context)->tensors_;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].name == name) return static_cast<std::int64_t>(i);
  }
  return -1;
}

const char* FakeHeader::metadata(void* context, const char* key) {
  const auto& metadata = static_cast<FakeHeader*>(context)->metadata_;
  const auto found = metadata.find(key);
  return found == metadata.end() ? nullptr : found->second.c_str();
}

const std::uint8_t* FakeHeader::marker(void* context, std::uint64_t index, std::uint64_t* size) {
  const FakeTensor& tensor = static_cast<FakeHeader*>(context)->tensors_.at(index);
  if (tensor.dtype != OCTAVO_U8 || tensor.bytes.size() > 65536) return nullptr;
  *size = tensor.bytes.size();
  return reinterpret_cast<const std::uint8_t*>(tensor.bytes.data());
}

FakeTensor marker_tensor(const std::string& base, const std::string& bytes) {
  return {base + ".comfy_quant", OCTAVO_U8, {static_cast<std::int64_t>(bytes.size())}, bytes};
}

}  // namespace octavo::test
