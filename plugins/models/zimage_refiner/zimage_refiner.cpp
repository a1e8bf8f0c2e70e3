// zimage_refiner: Z-Image: keeps norms and the two refiners; combine with zimage.
#include "../lists/zimage_norms.hpp"

#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kOwn[] = {
    octavo::high_precision("context_refiner", "refines the caption"),
    octavo::high_precision("noise_refiner", "refines the noisy image"),
};
constexpr auto kPatterns = octavo::join(octavo::lists::kZimageNorms, kOwn);

class ZimageRefiner final : public octavo::PatternModel {
 public:
  ZimageRefiner(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(ZimageRefiner,
                    {.id = "zimage_refiner",
                     .version = OCTAVO_PLUGIN_VERSION,
                     .summary = "Z-Image: keeps norms and the two refiners; combine with zimage",
                     .flags = 0})
