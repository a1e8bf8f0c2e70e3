#include "consumers/renamed_network.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <string>

namespace octavo::cli {
namespace {

// Keys of a family begin with each of the signs, behind a prefix that is the same for all; # is a number.
struct Family {
  const char* name;
  std::array<std::string_view, 3> signs;  // "" at the end
};

// Flux has SD3's keys as well, so it comes first.
constexpr Family kFamilies[] = {
    {"AuraFlow", {"joint_transformer_blocks.#.attn."}},
    {"Flux", {"single_transformer_blocks.#."}},
    {"SD3", {"transformer_blocks.#.attn.add_q_proj.", "transformer_blocks.#.norm1_context."}},
    {"PixArt",
     {"transformer_blocks.#.attn1.to_q.", "adaln_single.emb.timestep_embedder.", "pos_embed.proj."}},
    {"Z-Image", {"layers.#.attention.to_q.", "all_x_embedder."}},
    {"UNet", {"down_blocks.#.resnets.#.", "down_blocks.#.attentions.#.transformer_blocks.#.attn1.to_q."}},
};

bool begins_with(std::string_view key, std::string_view sign) {
  for (const char wanted : sign) {
    if (wanted == '#') {
      const size_t digits = std::min(key.find_first_not_of("0123456789"), key.size());
      if (digits == 0) return false;
      key.remove_prefix(digits);
    } else {
      if (!key.starts_with(wanted)) return false;
      key.remove_prefix(1);
    }
  }
  return true;
}

// What stands before the sign, which begins where a component of the key does.
std::optional<std::string_view> prefix_before(std::string_view key, std::string_view sign) {
  for (size_t at = 0; at < key.size(); ++at) {
    if (begins_with(key.substr(at), sign)) return key.substr(0, at);
    at = std::min(key.find('.', at), key.size());
  }
  return std::nullopt;
}

std::optional<std::string_view> prefix_of(const Family& family, const StoredFile& file) {
  std::map<std::string_view, unsigned> seen;  // by prefix, a bit for each sign
  unsigned all = 0;
  for (size_t i = 0; i < family.signs.size() && !family.signs[i].empty(); ++i) {
    all |= 1u << i;
    for (const TensorForm& tensor : file.tensors) {
      if (const auto prefix = prefix_before(tensor.name, family.signs[i])) seen[*prefix] |= 1u << i;
    }
  }
  const auto found =
      std::find_if(seen.begin(), seen.end(), [all](const auto& entry) { return entry.second == all; });
  if (found == seen.end()) return std::nullopt;
  return found->first;
}

}  // namespace

std::optional<RenamedNetwork> renamed_network(const StoredFile& file) {
  for (const Family& family : kFamilies) {
    if (const auto prefix = prefix_of(family, file)) return RenamedNetwork{family.name, *prefix};
  }
  return std::nullopt;
}

}  // namespace octavo::cli
