// nerf_large: Chroma Radiance: keeps the guidance network, the NeRF blocks and the text input.
#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kPatterns[] = {
    octavo::high_precision("distilled_guidance_layer", "makes the modulation of every block"),
    octavo::high_precision("nerf_blocks", "make the pixels"),
    octavo::high_precision("nerf_image_embedder", "pixels in"),
    octavo::high_precision("txt_in", "text features in"),
};
constexpr octavo::SignatureKey kSignature[] = {
    octavo::required_key("distilled_guidance_layer.in_proj.weight"),
    octavo::required_key("img_in_patch.weight"),
    octavo::required_key("nerf_blocks.0.param_generator.weight"),
    octavo::required_key("nerf_image_embedder.embedder.0.weight"),
    octavo::each_block("double_blocks.{}.img_attn.qkv.weight"),
    octavo::each_block("single_blocks.{}.linear1.weight"),
};

class NerfLarge final : public octavo::PatternModel {
 public:
  NerfLarge(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns, kSignature}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(
    NerfLarge, {.id = "nerf_large",
                .version = OCTAVO_PLUGIN_VERSION,
                .summary = "Chroma Radiance: keeps the guidance network, the NeRF blocks and the text input",
                .flags = OCTAVO_MODEL_AUTO})
