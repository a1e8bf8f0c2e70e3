// Checkpoints written by hand, byte by byte, for tests of what reads them.
#pragma once

#include "unit/temporary_folder.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace octavo::test {

struct TestTensor {
  std::string name;
  std::string dtype;
  std::vector<uint64_t> shape;
  std::string bytes;
};

template <typename T>
std::string bytes_of_values(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

inline TestTensor f32(const std::string& name, std::vector<uint64_t> shape,
                      const std::vector<float>& values) {
  return {name, "F32", std::move(shape), bytes_of_values(values)};
}

inline TestTensor i8(const std::string& name, std::vector<uint64_t> shape,
                     const std::vector<int8_t>& values) {
  return {name, "I8", std::move(shape), bytes_of_values(values)};
}

inline TestTensor marker(const std::string& layer, const std::string& text) {
  return {layer + ".comfy_quant", "U8", {text.size()}, text};
}

inline void write_checkpoint(const std::filesystem::path& path, const std::vector<TestTensor>& tensors,
                             const std::map<std::string, std::string>& metadata = {}) {
  nlohmann::ordered_json header;
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::string data;
  for (const TestTensor& tensor : tensors) {
    header[tensor.name] = {{"dtype", tensor.dtype},
                           {"shape", tensor.shape},
                           {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  write_file(path, safetensors(header.dump(), data));
}

}  // namespace octavo::test
