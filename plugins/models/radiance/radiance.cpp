// radiance: Chroma Radiance: keeps the patch input and the last convolution.
#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kPatterns[] = {
    octavo::high_precision("img_in_patch", "pixels in"),
    octavo::high_precision("nerf_final_layer_conv", "the output"),
    octavo::high_precision("__x0__", "a flag that loaders look for"),
};

class Radiance final : public octavo::PatternModel {
 public:
  Radiance(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(Radiance, {.id = "radiance",
                               .version = OCTAVO_PLUGIN_VERSION,
                               .summary = "Chroma Radiance: keeps the patch input and the last convolution",
                               .flags = 0})
