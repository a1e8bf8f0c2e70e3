// lens: Lens: keeps time, inputs, output and all modulation.
#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kPatterns[] = {
    octavo::high_precision("time_text_embed", "time in"),
    octavo::high_precision("img_in", "image latents in"),
    octavo::high_precision("norm_out", "modulation of the output"),
    octavo::high_precision("proj_out", "the output"),
    octavo::high_precision("img_mod.1", "modulation"),
    octavo::high_precision("txt_mod.1", "modulation"),
    octavo::high_precision("txt_in", "text features in"),
};
constexpr octavo::SignatureKey kSignature[] = {
    octavo::required_key("txt_norm.0.weight|txt_norm.weight"),
    octavo::required_key("img_in.weight"),
    octavo::required_key("txt_in.weight"),
    octavo::required_key("proj_out.weight"),
    octavo::required_key("norm_out.linear.weight"),
    octavo::required_key("time_text_embed.timestep_embedder.linear_1.weight"),
    octavo::each_block("transformer_blocks.{}.attn.img_qkv.weight"),
    octavo::each_block("transformer_blocks.{}.img_mlp.w1.weight"),
    octavo::each_block("transformer_blocks.{}.txt_mod.1.weight"),
};

class Lens final : public octavo::PatternModel {
 public:
  Lens(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns, kSignature}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(Lens, {.id = "lens",
                           .version = OCTAVO_PLUGIN_VERSION,
                           .summary = "Lens: keeps time, inputs, output and all modulation",
                           .flags = OCTAVO_MODEL_AUTO})
