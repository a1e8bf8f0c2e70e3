// mistral: Mistral text encoders: keeps tables, norms, the head and the image projector.
#include "../lists/avoid.hpp"

#include <octavo/model_patterns.hpp>

namespace {

constexpr auto& kPatterns = octavo::lists::kAvoid;
constexpr octavo::SignatureKey kSignature[] = {
    octavo::required_key("embed_tokens.weight", 131072, 5120),
    octavo::required_key("norm.weight"),
    octavo::each_block("layers.{}.self_attn.q_proj.weight"),
    octavo::each_block("layers.{}.mlp.gate_proj.weight"),
};

// Attention has fewer values than heads, so that o_proj reads each of them several times: it has no fold.
constexpr octavo::Fold kFolds[] = {
    {"layers.{}.self_attn.q_proj", "layers.{}.input_layernorm.weight"},
    {"layers.{}.self_attn.k_proj", "layers.{}.input_layernorm.weight"},
    {"layers.{}.self_attn.v_proj", "layers.{}.input_layernorm.weight"},
    {"layers.{}.mlp.gate_proj", "layers.{}.post_attention_layernorm.weight"},
    {"layers.{}.mlp.up_proj", "layers.{}.post_attention_layernorm.weight"},
    {"layers.{}.mlp.down_proj", "layers.{}.mlp.up_proj.weight"},
};

class Mistral final : public octavo::PatternModel {
 public:
  Mistral(const octavo::Host&, const octavo::Params&)
      : PatternModel({kPatterns, kSignature, {}, {}, kFolds}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(
    Mistral, {.id = "mistral",
              .version = OCTAVO_PLUGIN_VERSION,
              .summary = "Mistral text encoders: keeps tables, norms, the head and the image projector",
              .flags = OCTAVO_MODEL_AUTO})
