// qwen: Qwen-Image: keeps norms, time, inputs, output and the first modulation.
#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kPatterns[] = {
    octavo::keep("norm_added_k", "a normalisation"),
    octavo::keep("norm_added_q", "a normalisation"),
    octavo::keep("norm_k", "a normalisation"),
    octavo::keep("norm_q", "a normalisation"),
    octavo::keep("txt_norm", "a normalisation"),
    octavo::high_precision("time_text_embed", "time in"),
    octavo::high_precision("img_in", "image latents in"),
    octavo::high_precision("norm_out", "modulation of the output"),
    octavo::high_precision("proj_out", "the output"),
    octavo::high_precision("transformer_blocks.0.img_mod.1", "modulation of the first block"),
    octavo::high_precision("txt_in", "text features in"),
};
constexpr octavo::SignatureKey kSignature[] = {
    octavo::required_key("txt_norm.weight"),
    octavo::required_key("img_in.weight"),
    octavo::required_key("txt_in.weight", 0, 3584),
    octavo::required_key("proj_out.weight"),
    octavo::required_key("norm_out.linear.weight"),
    octavo::required_key("time_text_embed.timestep_embedder.linear_1.weight"),
    octavo::each_block("transformer_blocks.{}.attn.to_q.weight"),
    octavo::each_block("transformer_blocks.{}.attn.add_q_proj.weight"),
    octavo::each_block("transformer_blocks.{}.img_mod.1.weight"),
};

class Qwen final : public octavo::PatternModel {
 public:
  Qwen(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns, kSignature}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(Qwen,
                    {.id = "qwen",
                     .version = OCTAVO_PLUGIN_VERSION,
                     .summary = "Qwen-Image: keeps norms, time, inputs, output and the first modulation",
                     .flags = OCTAVO_MODEL_AUTO})
