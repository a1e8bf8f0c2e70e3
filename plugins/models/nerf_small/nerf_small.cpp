// nerf_small: Chroma Radiance, smaller file: keeps the guidance network and the NeRF blocks.
#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kPatterns[] = {
    octavo::high_precision("distilled_guidance_layer", "makes the modulation of every block"),
    octavo::high_precision("nerf_blocks", "make the pixels"),
    octavo::high_precision("nerf_image_embedder", "pixels in"),
};

class NerfSmall final : public octavo::PatternModel {
 public:
  NerfSmall(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(
    NerfSmall, {.id = "nerf_small",
                .version = OCTAVO_PLUGIN_VERSION,
                .summary = "Chroma Radiance, smaller file: keeps the guidance network and the NeRF blocks",
                .flags = 0})
