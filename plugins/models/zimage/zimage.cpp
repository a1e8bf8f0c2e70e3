// zimage: Z-Image: keeps norms, modulation, inputs and output.
#include "../lists/zimage_norms.hpp"

#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kOwn[] = {
    octavo::high_precision("x_embedder", "image latents in"),
    octavo::high_precision("clip_text_pooled_proj", "text features in"),
    octavo::high_precision("final_layer", "the output"),
    octavo::high_precision("cap_embedder.1", "caption in"),
    octavo::high_precision("adaLN_modulation", "modulation"),
    octavo::high_precision("t_embedder", "time in"),
    octavo::high_precision("time_text_embed", "time in"),
    octavo::high_precision("pos_embed", "positions"),
    octavo::high_precision("proj_out", "the output"),
};
constexpr auto kPatterns = octavo::join(octavo::lists::kZimageNorms, kOwn);
constexpr octavo::SignatureKey kSignature[] = {
    octavo::required_key("cap_embedder.1.weight", 3840),
    octavo::required_key("x_embedder.weight"),
    octavo::required_key("noise_refiner.0.attention.k_norm.weight"),
    octavo::required_key("context_refiner.0.attention.qkv.weight"),
    octavo::each_block("layers.{}.attention.qkv.weight"),
    octavo::each_block("layers.{}.feed_forward.w1.weight"),
};
constexpr octavo::SignatureKey kDiffusers[] = {
    octavo::required_key("all_x_embedder.2-1.weight"),
    octavo::required_key("layers.0.attention.to_q.weight"),
};

// What follows a norm multiplies each channel (1 + scale) and shifts nothing; w2 reads silu(w1 x) times w3 x.
constexpr octavo::Fold kFolds[] = {
    {"layers.{}.attention.qkv", "layers.{}.attention_norm1.weight"},
    {"layers.{}.feed_forward.w1", "layers.{}.ffn_norm1.weight"},
    {"layers.{}.feed_forward.w3", "layers.{}.ffn_norm1.weight"},
    {"layers.{}.feed_forward.w2", "layers.{}.feed_forward.w3.weight"},
};

class Zimage final : public octavo::PatternModel {
 public:
  Zimage(const octavo::Host&, const octavo::Params&)
      : PatternModel(
            {kPatterns,
             kSignature,
             {},
             {kDiffusers,
              "the diffusers layout, which loaders re-key without the scales: convert the layout first"},
             kFolds}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(Zimage, {.id = "zimage",
                             .version = OCTAVO_PLUGIN_VERSION,
                             .summary = "Z-Image: keeps norms, modulation, inputs and output",
                             .flags = OCTAVO_MODEL_AUTO})
