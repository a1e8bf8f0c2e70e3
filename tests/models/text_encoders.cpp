#include "architectures.hpp"

namespace octavo::test {
namespace {

constexpr const char* kT5Xxl = R"(
shared.weight 32128x4096
encoder.embed_tokens.weight 32128x4096
encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight 32x64
encoder.block.{24}.layer.0.SelfAttention.q.weight 4096x4096
encoder.block.{24}.layer.0.SelfAttention.o.weight 4096x4096
encoder.block.{24}.layer.0.layer_norm.weight 4096
encoder.block.{24}.layer.1.DenseReluDense.wi_0.weight 10240x4096
encoder.block.{24}.layer.1.DenseReluDense.wi_1.weight 10240x4096
encoder.block.{24}.layer.1.DenseReluDense.wo.weight 4096x10240
encoder.final_layer_norm.weight 4096
)";
// Of Wan: a larger vocabulary, and a table in each block.
constexpr const char* kUmt5Xxl = R"(
shared.weight 256384x4096
encoder.block.{24}.layer.0.SelfAttention.relative_attention_bias.weight 32x64
encoder.block.{24}.layer.0.SelfAttention.q.weight 4096x4096
encoder.block.{24}.layer.1.DenseReluDense.wi_0.weight 10240x4096
encoder.block.{24}.layer.1.DenseReluDense.wi_1.weight 10240x4096
encoder.block.{24}.layer.1.DenseReluDense.wo.weight 4096x10240
encoder.final_layer_norm.weight 4096
spiece_model 4548313 U8
)";
constexpr const char* kT5Decoder = R"(
decoder.block.{24}.layer.0.SelfAttention.q.weight 4096x4096
decoder.block.{24}.layer.1.EncDecAttention.k.weight 4096x4096
decoder.final_layer_norm.weight 4096
lm_head.weight 32128x4096
)";
constexpr const char* kT5Base = R"(
shared.weight 32128x768
encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight 32x12
encoder.block.{12}.layer.0.SelfAttention.q.weight 768x768
encoder.block.{12}.layer.1.DenseReluDense.wi_1.weight 2048x768
encoder.block.{12}.layer.1.DenseReluDense.wo.weight 768x2048
encoder.final_layer_norm.weight 768
)";

constexpr const char* kMistral = R"(
embed_tokens.weight 131072x5120
layers.{40}.self_attn.q_proj.weight 4096x5120
layers.{40}.self_attn.k_proj.weight 1024x5120
layers.{40}.self_attn.o_proj.weight 5120x4096
layers.{40}.mlp.gate_proj.weight 32768x5120
layers.{40}.mlp.down_proj.weight 5120x32768
layers.{40}.input_layernorm.weight 5120
layers.{40}.post_attention_layernorm.weight 5120
norm.weight 5120
)";
constexpr const char* kPixtral = R"(
vision_tower.patch_conv.weight 1024x3x14x14
vision_tower.ln_pre.weight 1024
vision_tower.transformer.layers.{24}.attention.q_proj.weight 1024x1024
vision_tower.transformer.layers.{24}.attention_norm.weight 1024
multi_modal_projector.linear_1.weight 5120x1024
language_model.lm_head.weight 131072x5120
)";
constexpr const char* kLlama3 = R"(
model.embed_tokens.weight 128256x4096
model.layers.{32}.self_attn.q_proj.weight 4096x4096
model.layers.{32}.mlp.gate_proj.weight 14336x4096
model.layers.{32}.input_layernorm.weight 4096
model.layers.{32}.post_attention_layernorm.weight 4096
model.norm.weight 4096
lm_head.weight 128256x4096
)";

constexpr const char* kQwen25VlTower = R"(
patch_embed.proj.weight 1280x3x2x14x14
blocks.{32}.attn.qkv.weight 3840x1280
blocks.{32}.attn.proj.weight 1280x1280
blocks.{32}.mlp.gate_proj.weight 3420x1280
blocks.{32}.mlp.up_proj.weight 3420x1280
blocks.{32}.mlp.down_proj.weight 1280x3420
blocks.{32}.norm1.weight 1280
merger.ln_q.weight 1280
merger.mlp.0.weight 5120x5120
merger.mlp.2.weight 3584x5120
)";
constexpr const char* kQwen25 = R"(
model.embed_tokens.weight 152064x3584
model.layers.{28}.self_attn.q_proj.weight 3584x3584
model.layers.{28}.self_attn.q_proj.bias 3584
model.layers.{28}.mlp.gate_proj.weight 18944x3584
model.layers.{28}.input_layernorm.weight 3584
model.norm.weight 3584
lm_head.weight 152064x3584
)";

constexpr const char* kQwen3 = R"(
embed_tokens.weight 151936x4096
layers.{36}.self_attn.q_proj.weight 4096x4096
layers.{36}.self_attn.q_norm.weight 128
layers.{36}.mlp.gate_proj.weight 12288x4096
layers.{36}.mlp.down_proj.weight 4096x12288
layers.{36}.input_layernorm.weight 4096
norm.weight 4096
)";
constexpr const char* kQwen3VlTower = R"(
visual.patch_embed.proj.weight 1152x3x2x16x16
visual.pos_embed.weight 2304x1152
visual.blocks.{27}.attn.qkv.weight 3456x1152
visual.blocks.{27}.mlp.linear_fc1.weight 4304x1152
visual.merger.linear_fc1.weight 4608x4608
visual.deepstack_merger_list.{3}.norm.weight 4608
visual.deepstack_merger_list.{3}.linear_fc1.weight 4608x4608
)";

// Three layers with linear attention, then one with full attention.
constexpr const char* kQwen35Layers = R"(
embed_tokens.weight 248320x5120
layers.{64}.input_layernorm.weight 5120
layers.{64}.post_attention_layernorm.weight 5120
layers.{64}.mlp.gate_proj.weight 17408x5120
layers.{64}.mlp.down_proj.weight 5120x17408
norm.weight 5120
)";
constexpr const char* kQwen35Linear = R"(
linear_attn.in_proj_qkv.weight 10240x5120
linear_attn.in_proj_z.weight 6144x5120
linear_attn.in_proj_a.weight 48x5120
linear_attn.in_proj_b.weight 48x5120
linear_attn.A_log 48
linear_attn.conv1d.weight 10240x1x4
linear_attn.out_proj.weight 5120x6144
)";
constexpr const char* kQwen35Full = R"(
self_attn.q_proj.weight 12288x5120
self_attn.k_proj.weight 1024x5120
self_attn.o_proj.weight 5120x6144
)";
constexpr const char* kQwen35Rest = R"(
model.visual.patch_embed.proj.weight 1152x3x2x16x16
model.visual.pos_embed.weight 2304x1152
model.visual.blocks.{27}.attn.qkv.weight 3456x1152
model.visual.merger.linear_fc1.weight 4608x4608
mtp.fc.weight 5120x10240
lm_head.weight 248320x5120
)";

constexpr const char* kGemma4 = R"(
embed_tokens.weight 262144x2560
embed_tokens_per_layer.weight 262144x10752
per_layer_model_projection.weight 10752x2560
layers.{42}.self_attn.q_proj.weight 2048x2560
layers.{42}.self_attn.q_norm.weight 256
layers.{42}.mlp.gate_proj.weight 10240x2560
layers.{42}.per_layer_input_gate.weight 256x2560
layers.{42}.per_layer_projection.weight 2560x256
layers.{42}.pre_feedforward_layernorm.weight 2560
layers.{42}.layer_scalar 1
norm.weight 2560
)";
constexpr const char* kGemma4Towers = R"(
model.vision_tower.encoder.layers.{16}.self_attn.q_proj.linear.weight 768x768
model.audio_tower.layers.{12}.feed_forward1.ffw_layer_1.linear.weight 4096x1024
model.embed_vision.embedding_projection.weight 2560x768
)";
constexpr const char* kGemma3 = R"(
model.embed_tokens.weight 262208x3840
model.layers.{48}.self_attn.q_proj.weight 4096x3840
model.layers.{48}.self_attn.q_norm.weight 256
model.layers.{48}.mlp.gate_proj.weight 15360x3840
model.layers.{48}.pre_feedforward_layernorm.weight 3840
model.norm.weight 3840
multi_modal_projector.mm_input_projection_weight 1152x3840
)";

std::vector<Tensor> qwen35() {
  std::vector<Tensor> tensors = tensors_of(kQwen35Layers);
  for (int layer = 0; layer < 64; ++layer) {
    std::string prefix = "layers.";
    prefix.append(std::to_string(layer)).append(".");
    tensors = together(std::move(tensors),
                       with_prefix(prefix, tensors_of(layer % 4 == 3 ? kQwen35Full : kQwen35Linear)));
  }
  return together(with_prefix("model.language_model.", std::move(tensors)), tensors_of(kQwen35Rest));
}

std::vector<Architecture> t5_and_mistral() {
  const std::vector<Tensor> t5 = tensors_of(kT5Xxl);
  const std::vector<Tensor> mistral = tensors_of(kMistral);
  return {
      {"T5-XXL", "t5xxl", t5},
      {"UMT5-XXL", "t5xxl", tensors_of(kUmt5Xxl)},
      {"T5-XXL with decoder", "t5xxl", together(t5, tensors_of(kT5Decoder))},
      {"T5 base", "", tensors_of(kT5Base)},
      {"Mistral Small", "mistral",
       together(with_prefix("model.", mistral), tensors_of("tekken_model 19399895 U8"))},
      {"Mistral Small with Pixtral", "mistral",
       together(with_prefix("language_model.model.", mistral), tensors_of(kPixtral))},
      {"Llama 3", "", tensors_of(kLlama3)},
  };
}

std::vector<Architecture> qwen_and_gemma() {
  const std::vector<Tensor> tower = with_prefix("visual.", tensors_of(kQwen25VlTower));
  const std::vector<Tensor> qwen3 = tensors_of(kQwen3);
  const std::vector<Tensor> qwen3_vl_tower = tensors_of(kQwen3VlTower);
  return {
      {"Qwen2.5-VL tower", "visual", tower},
      {"Qwen2.5-VL", "", together(tower, tensors_of(kQwen25))},
      {"Qwen2.5", "", tensors_of(kQwen25)},
      {"Qwen3", "", with_prefix("model.", qwen3)},
      {"Qwen3-VL", "qwen35",
       together(with_prefix("model.language_model.", qwen3), with_prefix("model.", qwen3_vl_tower))},
      {"Qwen3-VL, renamed", "qwen35", together(with_prefix("model.", qwen3), qwen3_vl_tower)},
      {"Qwen3.5", "qwen35", qwen35()},
      {"Gemma 4", "gemma4",
       together(with_prefix("model.language_model.", tensors_of(kGemma4)), tensors_of(kGemma4Towers))},
      {"Gemma 4, renamed", "gemma4", with_prefix("model.", tensors_of(kGemma4))},
      {"Gemma 3", "", tensors_of(kGemma3)},
  };
}

}  // namespace

std::vector<Architecture> text_encoders() {
  std::vector<Architecture> all = t5_and_mistral();
  for (Architecture& one : qwen_and_gemma()) all.push_back(std::move(one));
  return all;
}

}  // namespace octavo::test
