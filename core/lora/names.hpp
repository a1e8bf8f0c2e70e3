// Names in LoRA files: which entry is which half of which layer, whoever exported the file.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace octavo::lora {

// What a tensor of a LoRA file is to its layer.
enum class Role {
  down,  // [rank, cols]
  up,    // [rows, rank]
  mid,   // [rank, rank, kernel...]: between down and up of a convolution
  alpha,
  weight_difference,  // as large as the weight
  bias_difference,
  hada_1a,  // LoHa: (1a 1b) x (2a 2b), element by element; t1 and t2 are cores of convolutions
  hada_1b,
  hada_2a,
  hada_2b,
  hada_t1,
  hada_t2,
  kron_1,  // LoKr: the Kronecker product of 1 and 2, each whole or a product of a and b
  kron_1a,
  kron_1b,
  kron_2,
  kron_2a,
  kron_2b,
  kron_t2,
  unsupported,  // known, and not merged: a DoRA magnitude, OFT blocks, ...
};

struct EntryName {
  std::string layer;  // the key without its ending, as the file spells it
  Role role = Role::unsupported;
};

// Takes a key apart: ".lora_A[.ADAPTER].weight", ".lora_down.weight", ".lora.down.weight", ".down.weight",
// "_lora.down.weight", ".alpha", ".diff_b", ".hada_w1_a", ".lokr_w1" and their like. Nothing for a key that
// is none of these.
std::optional<EntryName> parse_entry(std::string_view key);

// Which network an entry or a tensor belongs to.
struct NetworkName {
  std::string part;  // "" the diffusion model (or the only network of a file), "te1", "te2", "te3"
  std::string name;  // without the prefixes that name the network or the exporter
};

// `layer` of an entry: one model prefix ("diffusion_model.", "transformer.", "base_model.model.", "unet.",
// "text_encoder.", ...) and then one of an exporter ("lora_unet_", "lora_te1_", "lycoris_", ...) is cut off.
NetworkName network_of_entry(std::string_view layer);

// The same for a tensor of a checkpoint ("model.diffusion_model.", "cond_stage_model.transformer.", ...).
NetworkName network_of_tensor(std::string_view key);

// Lower case, with '.' for '_': what two names are compared by, because exporters write one for the other.
std::string folded(std::string_view name);

}  // namespace octavo::lora
