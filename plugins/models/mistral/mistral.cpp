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

class Mistral final : public octavo::PatternModel {
 public:
  Mistral(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns, kSignature}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(
    Mistral, {.id = "mistral",
              .version = OCTAVO_PLUGIN_VERSION,
              .summary = "Mistral text encoders: keeps tables, norms, the head and the image projector",
              .flags = OCTAVO_MODEL_AUTO})
