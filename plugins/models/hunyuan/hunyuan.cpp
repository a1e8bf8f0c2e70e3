// hunyuan: HunyuanVideo and HunyuanImage: keeps norms, the image input and the vision projector.
#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kPatterns[] = {
    octavo::keep("layernorm", "a normalisation"),
    octavo::keep("img_attn_k_norm", "a normalisation"),
    octavo::keep("img_attn_q_norm", "a normalisation"),
    octavo::keep("txt_attn_k_norm", "a normalisation"),
    octavo::keep("txt_attn_q_norm", "a normalisation"),
    octavo::keep("norm1", "a normalisation"),
    octavo::keep("norm2", "a normalisation"),
    octavo::keep("vision_in.proj.0", "a normalisation of image features"),
    octavo::keep("vision_in.proj.4", "a normalisation of image features"),
    octavo::keep("img_in.proj", "latents in"),
    octavo::keep("cond_type_embedding", "a table"),
};
constexpr octavo::SignatureKey kSignature[] = {
    octavo::required_key("txt_in.individual_token_refiner.blocks.0.norm1.weight"),
    octavo::required_key("txt_in.input_embedder.weight"),
    octavo::required_key("img_in.proj.weight"),
    octavo::required_key("final_layer.linear.weight"),
    octavo::each_block("double_blocks.{}.img_attn_q_norm.weight|double_blocks.{}.img_attn.norm.query_norm."
                       "weight|double_blocks.{}.img_attn.norm.query_norm.scale"),
};

class Hunyuan final : public octavo::PatternModel {
 public:
  Hunyuan(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns, kSignature}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(
    Hunyuan,
    {.id = "hunyuan",
     .version = OCTAVO_PLUGIN_VERSION,
     .summary = "HunyuanVideo and HunyuanImage: keeps norms, the image input and the vision projector",
     .flags = OCTAVO_MODEL_AUTO})
