// qwen35: Qwen3.5 and Qwen3-VL: keeps the first and last layer, tables, the head and the ends of the tower.
#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kPatterns[] = {
    octavo::keep(".layers.0.", "the first layer"),
    octavo::keep(".layers.63.", "the last of 64 layers"),
    octavo::keep("lm_head", "an output head"),
    octavo::keep("embed_tokens", "a token table"),
    octavo::keep("in_proj_a", "decay of the linear attention"),
    octavo::keep("in_proj_b", "gate of the linear attention"),
    octavo::keep("visual.pos_embed", "positions"),
    octavo::keep("visual.patch_embed", "image patches in"),
    octavo::keep("merger", "images into the text network"),
    octavo::keep("mtp.fc", "prediction of further tokens"),
    octavo::keep("visual.blocks.0.", "the first layer of the tower"),
};
constexpr octavo::SignatureKey kSignature[] = {
    octavo::required_key("embed_tokens.weight"),
    octavo::required_key("layers.0.linear_attn.A_log"),
    octavo::required_key("layers.0.linear_attn.in_proj_a.weight"),
    octavo::required_key("layers.3.self_attn.q_proj.weight"),
    octavo::each_block("layers.{}.input_layernorm.weight"),
    octavo::each_block("layers.{}.mlp.gate_proj.weight"),
};

// Qwen3-VL: a Qwen3 network beside a tower with deepstack mergers.
constexpr octavo::SignatureKey kQwen3Vl[] = {
    octavo::required_key("embed_tokens.weight"),
    octavo::required_key(
        "visual.deepstack_merger_list.0.norm.weight|model.visual.deepstack_merger_list.0.norm.weight"),
    octavo::each_block("layers.{}.self_attn.q_norm.weight"),
    octavo::each_block("layers.{}.mlp.gate_proj.weight"),
};

class Qwen35 final : public octavo::PatternModel {
 public:
  Qwen35(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns, kSignature}) {}

  octavo::Detection detect(const octavo::ModelContext& context) const override {
    const octavo::Detection qwen35 = PatternModel::detect(context);
    const octavo::Detection qwen3_vl = octavo::detect_by({kPatterns, kQwen3Vl}, context);
    return qwen3_vl.score > qwen35.score ? qwen3_vl : qwen35;
  }
};

}  // namespace

OCTAVO_MODEL_PLUGIN(
    Qwen35,
    {.id = "qwen35",
     .version = OCTAVO_PLUGIN_VERSION,
     .summary =
         "Qwen3.5 and Qwen3-VL: keeps the first and last layer, tables, the head and the ends of the tower",
     .flags = OCTAVO_MODEL_AUTO})
