// distillation_large: Chroma: keeps the guidance network, inputs and output.
#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kPatterns[] = {
    octavo::high_precision("distilled_guidance_layer", "makes the modulation of every block"),
    octavo::high_precision("final_layer", "the output"),
    octavo::high_precision("img_in", "image latents in"),
    octavo::high_precision("txt_in", "text features in"),
};
constexpr octavo::SignatureKey kSignature[] = {
    octavo::required_key("distilled_guidance_layer.in_proj.weight"),
    octavo::required_key("distilled_guidance_layer.out_proj.weight"),
    octavo::required_key("img_in.weight"),
    octavo::required_key("txt_in.weight"),
    octavo::required_key("final_layer.linear.weight"),
    octavo::each_block("double_blocks.{}.img_attn.qkv.weight"),
    octavo::each_block("single_blocks.{}.linear1.weight"),
};

class DistillationLarge final : public octavo::PatternModel {
 public:
  DistillationLarge(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns, kSignature}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(DistillationLarge, {.id = "distillation_large",
                                        .version = OCTAVO_PLUGIN_VERSION,
                                        .summary = "Chroma: keeps the guidance network, inputs and output",
                                        .flags = OCTAVO_MODEL_AUTO})
