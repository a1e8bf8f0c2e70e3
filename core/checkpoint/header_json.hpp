// The grammar of a header: JSON text to entries, before their places in the file are compared with one
// another.
#pragma once

#include "checkpoint/header.hpp"

#include <map>
#include <string>
#include <vector>

namespace octavo::checkpoint {

struct HeaderEntries {
  std::map<std::string, std::string> metadata;
  std::vector<TensorInfo> tensors;  // in the order of the text, duplicates included
  std::vector<Note> notes;
};

// Throws Error bad_input for what is not strict JSON or has other types than the format says. Dtype, rank and
// dimensions of each entry are checked here, sizes and places are not.
HeaderEntries read_entries(const std::string& json, const std::string& file, Strictness strictness);

// The note on a place that only the strict rules forbid.
Note tolerated(const std::string& what);

// The error of this room: "[header] FILE: what".
[[noreturn]] void refuse_header(const std::string& file, const std::string& what,
                                const std::string& hint = {});

}  // namespace octavo::checkpoint
