// libFuzzer target: any bytes as a header, strict and lenient. Nothing but octavo::Error may leave the
// parser, and what the strict parser accepts must be contiguous and survive being laid out again.
#include "base/error.hpp"
#include "checkpoint/folder.hpp"
#include "checkpoint/header.hpp"
#include "checkpoint/layout.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

using namespace octavo::checkpoint;

void expect(bool holds) {
  if (!holds) std::abort();
}

void lay_out_again(const Header& header, uint64_t data_bytes) {
  std::vector<OutputTensor> tensors;
  for (const TensorInfo& info : header.tensors) tensors.push_back({info.name, info.dtype, info.shape});
  const Layout layout = lay_out(header.metadata, std::move(tensors));
  expect(layout.file_bytes - layout.header_bytes.size() == data_bytes);
}

template <typename Call>
void only_errors_leave(Call call) {
  try {
    call();
  } catch (const octavo::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const uint64_t data_bytes = static_cast<uint64_t>(data[0]) | static_cast<uint64_t>(data[1]) << 8;
  const std::string json(reinterpret_cast<const char*>(data) + 2, size - 2);
  only_errors_leave([&] { lay_out_again(parse_header(json, data_bytes, "fuzz"), data_bytes); });
  only_errors_leave([&] { parse_header(json, data_bytes, "fuzz", Strictness::lenient); });
  only_errors_leave([&] { parse_index(json, "fuzz"); });
  return 0;
}
