// One safetensors file from its first byte: the length, the header, and what the file is where it is
// something else.
#pragma once

#include "base/file.hpp"
#include "checkpoint/header.hpp"

#include <string>

namespace octavo::checkpoint {

struct FramedHeader {
  Header header;
  std::string json;  // the header's bytes as they stand in the file
};

// Reads and checks the header of an open file; allocates nothing before the length is known to be possible.
// Throws Error bad_input for an invalid file, unsupported for a container octavo does not read (zip, pickle,
// GGUF).
FramedHeader read_header(const File& file, Strictness strictness = Strictness::strict);

}  // namespace octavo::checkpoint
