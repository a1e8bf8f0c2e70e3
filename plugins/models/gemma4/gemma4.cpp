// gemma4: Gemma 4 text encoders: keeps the audio and vision towers and the per-layer inputs.
#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kPatterns[] = {
    octavo::keep("audio", "audio tower"),
    octavo::keep("per_layer_input_gate", "input of each layer"),
    octavo::keep("per_layer_projection", "input of each layer"),
    octavo::keep("vision", "vision tower"),
    octavo::keep("multi_modal_projector", "images into the text network"),
};
constexpr octavo::SignatureKey kSignature[] = {
    octavo::required_key("layers.0.layer_scalar"),
    octavo::required_key("embed_tokens.weight"),
    octavo::each_block("layers.{}.layer_scalar"),
    octavo::each_block("layers.{}.self_attn.q_proj.weight"),
    octavo::each_block("layers.{}.pre_feedforward_layernorm.weight"),
};

class Gemma4 final : public octavo::PatternModel {
 public:
  Gemma4(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns, kSignature}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(
    Gemma4, {.id = "gemma4",
             .version = OCTAVO_PLUGIN_VERSION,
             .summary = "Gemma 4 text encoders: keeps the audio and vision towers and the per-layer inputs",
             .flags = OCTAVO_MODEL_AUTO})
