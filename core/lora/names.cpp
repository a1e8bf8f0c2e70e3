#include "lora/names.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace octavo::lora {
namespace {

struct Ending {
  std::string_view text;
  Role role;
};

// Longer endings stand before the shorter ones that they end in.
constexpr std::array kEndings = {
    Ending{".lora_down.bias", Role::unsupported},
    Ending{".lora_up.bias", Role::unsupported},
    Ending{".lora_A.bias", Role::unsupported},
    Ending{".lora_B.bias", Role::unsupported},
    Ending{".lora_A.weight", Role::down},
    Ending{".lora_B.weight", Role::up},
    Ending{".lora_A", Role::down},
    Ending{".lora_B", Role::up},
    Ending{".lora_down.weight", Role::down},
    Ending{".lora_up.weight", Role::up},
    Ending{".lora_mid.weight", Role::mid},
    Ending{".lora_down", Role::down},
    Ending{".lora_up", Role::up},
    Ending{".lora_mid", Role::mid},
    Ending{".lora.down.weight", Role::down},
    Ending{".lora.up.weight", Role::up},
    Ending{".lora.down", Role::down},
    Ending{".lora.up", Role::up},
    Ending{"_lora.down.weight", Role::down},
    Ending{"_lora.up.weight", Role::up},
    Ending{".down.weight", Role::down},
    Ending{".up.weight", Role::up},
    Ending{".down", Role::down},
    Ending{".up", Role::up},
    Ending{".lora_alpha", Role::alpha},
    Ending{".alpha", Role::alpha},
    Ending{".diff", Role::weight_difference},
    Ending{".diff_b", Role::bias_difference},
    Ending{".w_norm", Role::weight_difference},
    Ending{".b_norm", Role::bias_difference},
    Ending{".hada_w1_a", Role::hada_1a},
    Ending{".hada_w1_b", Role::hada_1b},
    Ending{".hada_w2_a", Role::hada_2a},
    Ending{".hada_w2_b", Role::hada_2b},
    Ending{".hada_t1", Role::hada_t1},
    Ending{".hada_t2", Role::hada_t2},
    Ending{".lokr_w1", Role::kron_1},
    Ending{".lokr_w1_a", Role::kron_1a},
    Ending{".lokr_w1_b", Role::kron_1b},
    Ending{".lokr_w2", Role::kron_2},
    Ending{".lokr_w2_a", Role::kron_2a},
    Ending{".lokr_w2_b", Role::kron_2b},
    Ending{".lokr_t2", Role::kron_t2},
    Ending{".dora_scale", Role::unsupported},
    Ending{".lora_magnitude_vector", Role::unsupported},
    Ending{".lora_magnitude_vector.weight", Role::unsupported},
    Ending{".lora_embedding_A", Role::unsupported},
    Ending{".lora_embedding_B", Role::unsupported},
    Ending{".set_weight", Role::unsupported},
    Ending{".reshape_weight", Role::unsupported},
    Ending{".oft_blocks", Role::unsupported},
    Ending{".oft_diag", Role::unsupported},
    Ending{".rescale", Role::unsupported},
    Ending{".a1.weight", Role::unsupported},
    Ending{".a2.weight", Role::unsupported},
    Ending{".b1.weight", Role::unsupported},
    Ending{".b2.weight", Role::unsupported},
};

struct Prefix {
  std::string_view text;
  std::string_view part;
};

constexpr std::array kModelPrefixes = {
    Prefix{"model.diffusion_model.", ""},
    Prefix{"diffusion_model.", ""},
    Prefix{"transformer.", ""},
    Prefix{"unet.", ""},
    Prefix{"text_encoder.", "te1"},
    Prefix{"text_encoder_2.", "te2"},
    Prefix{"text_encoder_3.", "te3"},
    Prefix{"text_encoders.clip_l.transformer.", "te1"},
    Prefix{"text_encoders.clip_g.transformer.", "te2"},
    Prefix{"text_encoders.t5xxl.transformer.", "te3"},
    Prefix{"clip_l.", "te1"},
    Prefix{"clip_g.", "te2"},
    Prefix{"t5xxl.", "te3"},
};

constexpr std::array kExporterPrefixes = {
    Prefix{"lora_unet_", ""},   Prefix{"lora_transformer_", ""}, Prefix{"lora_te_", "te1"},
    Prefix{"lora_te1_", "te1"}, Prefix{"lora_te2_", "te2"},      Prefix{"lora_te3_", "te3"},
    Prefix{"lycoris_", ""},     Prefix{"lora_prior_unet_", ""},  Prefix{"lora_prior_te_", "te1"},
};

constexpr std::array kTensorPrefixes = {
    Prefix{"model.diffusion_model.", ""},
    Prefix{"diffusion_model.", ""},
    Prefix{"transformer.", ""},
    Prefix{"unet.", ""},
    Prefix{"net.", ""},
    Prefix{"model.model.", ""},
    Prefix{"cond_stage_model.transformer.", "te1"},
    Prefix{"conditioner.embedders.0.transformer.", "te1"},
    Prefix{"conditioner.embedders.1.model.", "te2"},
    Prefix{"text_encoder.", "te1"},
    Prefix{"text_encoder_2.", "te2"},
    Prefix{"text_encoder_3.", "te3"},
    Prefix{"text_encoders.clip_l.transformer.", "te1"},
    Prefix{"text_encoders.clip_g.transformer.", "te2"},
    Prefix{"text_encoders.t5xxl.transformer.", "te3"},
};

template <size_t count>
bool cut(std::string_view& name, std::string& part, const std::array<Prefix, count>& prefixes) {
  for (const Prefix& prefix : prefixes) {
    if (!name.starts_with(prefix.text) || name.size() == prefix.text.size()) continue;
    name.remove_prefix(prefix.text.size());
    if (!prefix.part.empty()) part = prefix.part;
    return true;
  }
  return false;
}

// PEFT puts the adapter's name between the half and "weight": ".lora_A.default.weight".
std::string without_adapter_name(std::string_view key) {
  for (const std::string_view half : {".lora_A.", ".lora_B.", ".lora_magnitude_vector."}) {
    const size_t at = key.find(half);
    if (at == std::string_view::npos) continue;
    const std::string_view rest = key.substr(at + half.size());
    if (rest == "weight" || rest == "bias") return std::string(key);
    const std::string_view ending = rest.ends_with(".bias") ? ".bias" : ".weight";
    if (rest.find('.') == std::string_view::npos) return std::string(key.substr(0, at + half.size() - 1));
    if (rest.ends_with(ending) && rest.find('.') == rest.size() - ending.size())
      return std::string(key.substr(0, at + half.size() - 1)) + std::string(ending);
  }
  return std::string(key);
}

// Diffusers' old attention processors: "attn1.processor.to_q" and "attn1.processor.to_out".
std::string without_processor(std::string layer) {
  constexpr std::string_view kProcessor = ".processor.";
  const size_t at = layer.find(kProcessor);
  if (at == std::string::npos) return layer;
  layer.replace(at, kProcessor.size(), ".");
  return layer.ends_with(".to_out") ? layer + ".0" : layer;
}

}  // namespace

std::optional<EntryName> parse_entry(std::string_view key) {
  const std::string plain = without_adapter_name(key);
  for (const Ending& ending : kEndings) {
    if (!plain.ends_with(ending.text) || plain.size() == ending.text.size()) continue;
    std::string layer = plain.substr(0, plain.size() - ending.text.size());
    if (ending.text.starts_with('_')) layer = without_processor(std::move(layer));
    return EntryName{std::move(layer), ending.role};
  }
  return std::nullopt;
}

NetworkName network_of_entry(std::string_view layer) {
  constexpr std::string_view kPeft = "base_model.model.";
  NetworkName found;
  if (layer.starts_with(kPeft)) layer.remove_prefix(kPeft.size());
  cut(layer, found.part, kModelPrefixes);
  cut(layer, found.part, kExporterPrefixes);
  found.name = layer;
  return found;
}

NetworkName network_of_tensor(std::string_view key) {
  NetworkName found;
  cut(key, found.part, kTensorPrefixes);
  found.name = key;
  return found;
}

std::string folded(std::string_view name) {
  std::string made(name);
  std::transform(made.begin(), made.end(), made.begin(), [](unsigned char letter) {
    return letter == '_' ? '.' : static_cast<char>(std::tolower(letter));
  });
  return made;
}

}  // namespace octavo::lora
