// visual: Vision towers of Qwen2-VL and Qwen2.5-VL: keeps the MLPs.
#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kPatterns[] = {
    octavo::keep("mlp.down_proj", "3,420 columns, which INT8 kernels do not take"),
    octavo::keep("mlp.up_proj", "3,420 rows, which INT8 kernels do not take"),
    octavo::keep("mlp.gate_proj", "3,420 rows, which INT8 kernels do not take"),
};
constexpr octavo::SignatureKey kSignature[] = {
    octavo::required_key("visual.patch_embed.proj.weight"),
    octavo::required_key("visual.merger.mlp.0.weight"),
    octavo::required_key("visual.merger.ln_q.weight"),
    octavo::each_block("visual.blocks.{}.attn.qkv.weight"),
    octavo::each_block("visual.blocks.{}.mlp.gate_proj.weight"),
};
constexpr std::string_view kAbsent[] = {"model.layers.0.mlp.gate_proj.weight",
                                        "model.language_model.layers.0.mlp.gate_proj.weight",
                                        "language_model.model.layers.0.mlp.gate_proj.weight",
                                        "model.language_model.model.layers.0.mlp.gate_proj.weight"};

class Visual final : public octavo::PatternModel {
 public:
  Visual(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns, kSignature, kAbsent}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(Visual, {.id = "visual",
                             .version = OCTAVO_PLUGIN_VERSION,
                             .summary = "Vision towers of Qwen2-VL and Qwen2.5-VL: keeps the MLPs",
                             .flags = OCTAVO_MODEL_AUTO})
