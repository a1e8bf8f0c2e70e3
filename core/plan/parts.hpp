// The parts of a checkpoint: an all-in-one file holds a diffusion model, text encoders and a VAE side by
// side, each below a prefix of its own.
//
// Prefixes as ComfyUI's loaders look for them (comfy/model_detection.py, supported_models.py): the network
// below `model.diffusion_model.`, `model.model.` or `net.` (more than five keys), else `model.`, else bare;
// text encoders below `text_encoders.NAME.`, `cond_stage_model.` or `conditioner.embedders.N.`; the VAE below
// `first_stage_model.` or `vae.`.
#pragma once

#include "checkpoint/reader.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::plan {

enum class PartKind { network, text_encoder, vae };

struct Part {
  PartKind kind = PartKind::network;
  std::string prefix;  // "model.diffusion_model."; "" for a bare network
};

struct Parts {
  std::vector<Part> parts;      // the network first, then by prefix
  std::vector<std::size_t> of;  // tensor of the checkpoint to index into `parts`
};

// A file of one part is a single network with the prefix "", whatever its keys begin with. A tensor below no
// prefix belongs to the network.
Parts find_parts(const checkpoint::Checkpoint& source);

}  // namespace octavo::plan
