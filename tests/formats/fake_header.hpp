// A checkpoint's header made by a test, as a plugin sees it.
#pragma once

#include <octavo/format.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace octavo::test {

struct FakeTensor {
  std::string name;
  octavo_dtype dtype;
  std::vector<std::int64_t> shape;
  std::string bytes = {};  // of a small U8 tensor
};

// Stays where it is: the view that raw() gives points into it.
class FakeHeader {
 public:
  explicit FakeHeader(std::vector<FakeTensor> tensors, std::map<std::string, std::string> metadata = {});
  FakeHeader(const FakeHeader&) = delete;
  FakeHeader& operator=(const FakeHeader&) = delete;

  const octavo_header* raw() const { return &raw_; }
  const FakeTensor& at(std::uint64_t index) const { return tensors_.at(index); }

 private:
  static octavo_status tensor(void* context, std::uint64_t index, octavo_header_tensor* tensor);
  static std::int64_t find(void* context, const char* name);
  static const char* metadata(void* context, const char* key);
  static const std::uint8_t* marker(void* context, std::uint64_t index, std::uint64_t* size);

  std::vector<FakeTensor> tensors_;  // sorted by name
  std::map<std::string, std::string> metadata_;
  octavo_header raw_;
};

// `<base>.comfy_quant` with these bytes.
FakeTensor marker_tensor(const std::string& base, const std::string& bytes);

}  // namespace octavo::test
