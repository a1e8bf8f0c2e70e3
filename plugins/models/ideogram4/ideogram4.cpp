// ideogram4: Ideogram 4: keeps inputs, output, time and the shared modulation.
#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kPatterns[] = {
    octavo::high_precision("embed_image_indicator", "a table"),
    octavo::high_precision("t_embedding", "time in"),
    octavo::high_precision("llm_cond_proj", "text features in"),
    octavo::high_precision("adaln_proj", "modulation that all layers share"),
    octavo::high_precision("final_layer", "the output"),
    octavo::high_precision("input_proj", "image latents in"),
};
constexpr octavo::SignatureKey kSignature[] = {
    octavo::required_key("embed_image_indicator.weight"),
    octavo::required_key("input_proj.weight"),
    octavo::required_key("adaln_proj.weight"),
    octavo::required_key("t_embedding.mlp_in.weight"),
    octavo::required_key("final_layer.linear.weight"),
    octavo::each_block("layers.{}.attention.qkv.weight"),
    octavo::each_block("layers.{}.feed_forward.w1.weight"),
    octavo::each_block("layers.{}.adaln_modulation.weight"),
};

class Ideogram4 final : public octavo::PatternModel {
 public:
  Ideogram4(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns, kSignature}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(Ideogram4, {.id = "ideogram4",
                                .version = OCTAVO_PLUGIN_VERSION,
                                .summary = "Ideogram 4: keeps inputs, output, time and the shared modulation",
                                .flags = OCTAVO_MODEL_AUTO})
