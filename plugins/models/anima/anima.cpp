// anima: Anima: keeps the first blocks, the text adapter, inputs and output.
#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kPatterns[] = {
    octavo::high_precision("net.blocks.0.", "the first block"),
    octavo::high_precision("net.blocks.1.adaln_modulation", "modulation of the second block"),
    octavo::high_precision("final_layer", "the output"),
    octavo::high_precision("llm_adapter", "text features in"),
    octavo::high_precision("t_embedder", "time in"),
    octavo::high_precision("x_embedder", "image latents in"),
};
constexpr octavo::SignatureKey kSignature[] = {
    octavo::required_key("llm_adapter.blocks.0.cross_attn.q_proj.weight"),
    octavo::required_key("x_embedder.proj.1.weight"),
    octavo::required_key("t_embedder.1.linear_1.weight"),
    octavo::required_key("final_layer.linear.weight"),
    octavo::each_block("blocks.{}.self_attn.q_proj.weight"),
    octavo::each_block("blocks.{}.mlp.layer1.weight"),
    octavo::each_block("blocks.{}.adaln_modulation_mlp.1.weight"),
};

class Anima final : public octavo::PatternModel {
 public:
  Anima(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns, kSignature}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(Anima, {.id = "anima",
                            .version = OCTAVO_PLUGIN_VERSION,
                            .summary = "Anima: keeps the first blocks, the text adapter, inputs and output",
                            .flags = OCTAVO_MODEL_AUTO})
