// The exact bytes of an output file's header and the place of every tensor, known before anything is written.
#pragma once

#include <octavo/abi/tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::checkpoint {

constexpr size_t kMaxNameBytes = 4096;

struct OutputTensor {
  std::string name;
  octavo_dtype dtype = OCTAVO_U8;
  std::vector<uint64_t> shape;
};

struct PlacedTensor {
  OutputTensor tensor;
  size_t index = 0;     // in the list that was laid out
  uint64_t offset = 0;  // of its first byte in the file
  uint64_t bytes = 0;
};

struct Layout {
  std::string header_bytes;           // 8 length bytes, JSON, spaces up to a multiple of 8
  std::vector<PlacedTensor> tensors;  // in file order
  uint64_t file_bytes = 0;

  const PlacedTensor* find(std::string_view name) const;  // nullptr where there is none
};

// Byte for byte what the reference writer makes of the same tensors: wide dtypes first (octavo_dtype
// descending), then names ascending; metadata first, its keys sorted here (the reference's order is random),
// left out when empty; compact JSON as serde_json writes it. Throws Error bad_input (a name that is no UTF-8,
// twice there, or reserved) or unsupported (a name over 4096 bytes, a header over 100 MB, more than 1,048,576
// tensors, a size that is no whole number of bytes or does not fit 64 bits).
Layout lay_out(const std::map<std::string, std::string>& metadata, std::vector<OutputTensor> tensors);

// Lengthens the header with spaces until the data begins at `start` modulo `period` (both multiples of 8), so
// that its blocks can be shared with a file whose data begins there. Throws Error unsupported for a header
// over 100 MB.
void align_data(Layout& layout, uint64_t start, uint64_t period);

// A JSON string with its quotes, as serde_json writes it: only ", \ and control characters are escaped.
// Throws Error bad_input for what is no UTF-8.
std::string json_text(const std::string& text);

}  // namespace octavo::checkpoint
