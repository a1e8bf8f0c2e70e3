// The parts of a checkpoint by the prefixes of its keys: a diffusion model, a text encoder, a VAE in one
// file.
#pragma once

#include "checkpoint/reader.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace octavo::cli {

struct Part {
  std::string prefix;  // "model.diffusion_model."; "" for the tensors outside of any other part
  size_t tensors = 0;
  uint64_t bytes = 0;
};

// The largest first, at most 12 and the others. Keys belong together by their first component; a prefix goes
// on as long as all keys of the part share the next component too, and that is no number.
std::vector<Part> parts_of(const checkpoint::Checkpoint& file);

}  // namespace octavo::cli
