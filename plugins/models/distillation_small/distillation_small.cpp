// distillation_small: Chroma, smaller file: keeps the guidance network alone.
#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kPatterns[] = {
    octavo::high_precision("distilled_guidance_layer", "makes the modulation of every block"),
};

class DistillationSmall final : public octavo::PatternModel {
 public:
  DistillationSmall(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(DistillationSmall, {.id = "distillation_small",
                                        .version = OCTAVO_PLUGIN_VERSION,
                                        .summary = "Chroma, smaller file: keeps the guidance network alone",
                                        .flags = 0})
