#include "consumers/renamed_network.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <span>
#include <string_view>

namespace octavo::cli {
namespace {

// Keys of a family begin with each of the signs, behind a prefix that is the same for all; # is a number,
// which no sign begins with.
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
      if (key.empty() || key.front() != wanted) return false;
      key.remove_prefix(1);
    }
  }
  return true;
}

// For each prefix a bit for each of a family's signs that was found behind it.
using Prefixes = std::map<std::string_view, unsigned>;

unsigned all_signs(const Family& family) {
  unsigned all = 0;
  for (size_t i = 0; i < family.signs.size(); ++i) {
    if (!family.signs[i].empty()) all |= 1U << i;
  }
  return all;
}

// A sign begins where a component of the key does.
void look_at_key(std::string_view key, std::span<Prefixes, std::size(kFamilies)> found) {
  for (size_t at = 0; at < key.size(); ++at) {
    const std::string_view rest = key.substr(at);
    for (size_t f = 0; f < std::size(kFamilies); ++f) {
      for (size_t i = 0; i < kFamilies[f].signs.size() && !kFamilies[f].signs[i].empty(); ++i) {
        const std::string_view sign = kFamilies[f].signs[i];
        if (sign.front() == rest.front() && begins_with(rest, sign)) found[f][key.substr(0, at)] |= 1U << i;
      }
    }
    at = std::min(key.find('.', at), key.size());
  }
}

}  // namespace

std::optional<RenamedNetwork> renamed_network(const StoredFile& file) {
  std::array<Prefixes, std::size(kFamilies)> found;
  for (const TensorForm& tensor : file.tensors) look_at_key(tensor.name, found);
  for (size_t f = 0; f < std::size(kFamilies); ++f) {
    for (const auto& [prefix, signs] : found[f]) {
      if (signs == all_signs(kFamilies[f])) return RenamedNetwork{kFamilies[f].name, prefix};
    }
  }
  return std::nullopt;
}

}  // namespace octavo::cli
