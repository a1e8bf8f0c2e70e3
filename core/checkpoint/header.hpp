// The header of one safetensors file: every tensor's name, dtype, shape and place, checked before anything is
// used.
#pragma once

#include <octavo/abi/tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::checkpoint {

// Limits of the format (header bytes are the reference reader's) and of the strict reader.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr uint64_t kMaxTensors = 1'048'576;
constexpr uint64_t kMaxRank = 32;
constexpr uint64_t kDimLimit = uint64_t{1} << 48;  // dimensions are smaller than this
constexpr int kMaxDepth = 8;
constexpr int kMaxLenientDepth = 128;

// strict: every rule of the format. lenient: also what the reference reader lets pass (duplicate keys, the
// last one counts; an entry written as an array; huge dimensions beside a 0; any rank; nesting to 128).
enum class Strictness { strict, lenient };

struct TensorInfo {
  std::string name;
  octavo_dtype dtype = OCTAVO_U8;
  std::vector<uint64_t> shape;
  uint64_t begin = 0;  // first byte and one past the last, counted from the start of the data
  uint64_t end = 0;

  uint64_t elements() const;
  uint64_t bytes() const { return end - begin; }
};

// What is odd about a file without making it invalid, in one sentence.
struct Note {
  std::string text;
  bool tolerated = false;  // only the strict rules forbid it: there is none of these in a strict reading
};

struct Header {
  std::map<std::string, std::string> metadata;
  std::vector<TensorInfo> tensors;  // by name, ascending (bytewise); names are unique
  uint64_t data_start = 0;          // in the file
  std::vector<Note> notes;

  const TensorInfo* find(std::string_view name) const;  // nullptr where there is none
};

// `json`: the header without its 8 length bytes. `data_bytes`: how many bytes follow it. `file` is for
// messages. Throws Error bad_input, naming file and tensor, for everything the format forbids; nothing is
// trusted before.
Header parse_header(const std::string& json, uint64_t data_bytes, const std::string& file,
                    Strictness strictness = Strictness::strict);

}  // namespace octavo::checkpoint
