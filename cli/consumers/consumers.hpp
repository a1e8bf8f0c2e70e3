// Which programs load a file: the verdicts of `octavo verify`.
#pragma once

#include "consumers/stored_file.hpp"

#include <string>
#include <vector>

namespace octavo::cli {

// From the best to the worst.
enum class Loads {
  yes,          // and computes with it as it is stored
  dequantized,  // and turns it back into floats
  no            // or loads it and computes something else
};

const char* name(Loads loads);  // "yes", "dequantized", "no"

struct Consumer {
  std::string name;
  Loads loads = Loads::yes;
  std::string minimum_version;  // "" where none is known to be needed, or nothing helps
  std::string reason;           // one sentence; names a layer or tensor where one is to blame
};

// One verdict for each program, the worst over all layers and tensors. The order is always the same.
std::vector<Consumer> consumers_of(const StoredFile& file);

// What the maker of such a file should know, one sentence each: that ComfyUI, which most outputs are made
// for, does not load it, and that stable-diffusion.cpp's reader refuses the whole file for a tensor in it.
std::vector<std::string> loading_warnings(const StoredFile& file);

}  // namespace octavo::cli
