#include "architectures.hpp"

namespace octavo::test {
namespace {

constexpr const char* kHunyuanEnds = R"(
img_in.proj.weight 3072x16x1x2x2
img_in.proj.bias 3072
txt_in.input_embedder.weight 3072x4096
txt_in.individual_token_refiner.blocks.{2}.norm1.weight 3072
txt_in.individual_token_refiner.blocks.{2}.self_attn_qkv.weight 9216x3072
time_in.mlp.0.weight 3072x256
final_layer.linear.weight 64x3072
)";
// As Tencent publishes it, and as ComfyUI renames it.
constexpr const char* kHunyuanOriginal = R"(
double_blocks.{20}.img_attn_qkv.weight 9216x3072
double_blocks.{20}.img_attn_q_norm.weight 128
double_blocks.{20}.img_attn_k_norm.weight 128
double_blocks.{20}.img_attn_proj.weight 3072x3072
double_blocks.{20}.img_mlp.fc1.weight 12288x3072
double_blocks.{20}.img_mod.linear.weight 18432x3072
single_blocks.{40}.linear1.weight 21504x3072
single_blocks.{40}.q_norm.weight 128
)";
constexpr const char* kHunyuanComfy = R"(
double_blocks.{20}.img_attn.qkv.weight 9216x3072
double_blocks.{20}.img_attn.norm.query_norm.weight 128
double_blocks.{20}.img_attn.proj.weight 3072x3072
double_blocks.{20}.img_mlp.0.weight 12288x3072
single_blocks.{40}.linear1.weight 21504x3072
)";
// 1.5: no single blocks, q, k and v apart, a vision input.
constexpr const char* kHunyuan15 = R"(
img_in.proj.weight 2048x65x1x1x1
txt_in.input_embedder.weight 2048x3584
txt_in.individual_token_refiner.blocks.{2}.norm1.weight 2048
txt_in.individual_token_refiner.blocks.{2}.self_attn_qkv.weight 6144x2048
vision_in.proj.0.weight 1152
vision_in.proj.1.weight 1152x1152
vision_in.proj.3.weight 2048x1152
vision_in.proj.4.weight 2048
cond_type_embedding.weight 3x2048
byt5_in.layernorm.weight 1472
byt5_in.fc1.weight 2048x1472
double_blocks.{54}.img_attn_q.weight 2048x2048
double_blocks.{54}.img_attn_q_norm.weight 128
double_blocks.{54}.img_mlp.fc1.weight 8192x2048
final_layer.linear.weight 32x2048
)";

constexpr const char* kWan = R"(
patch_embedding.weight 5120x16x1x2x2
patch_embedding.bias 5120
text_embedding.0.weight 5120x4096
text_embedding.2.weight 5120x5120
time_embedding.0.weight 5120x256
time_embedding.2.weight 5120x5120
time_projection.1.weight 30720x5120
blocks.{40}.self_attn.q.weight 5120x5120
blocks.{40}.self_attn.norm_q.weight 5120
blocks.{40}.self_attn.o.weight 5120x5120
blocks.{40}.cross_attn.k.weight 5120x5120
blocks.{40}.cross_attn.o.weight 5120x5120
blocks.{40}.ffn.0.weight 13824x5120
blocks.{40}.ffn.2.weight 5120x13824
blocks.{40}.modulation 1x6x5120 F32
head.head.weight 64x5120
head.modulation 1x2x5120 F32
)";
constexpr const char* kWanImage = R"(
img_emb.proj.0.weight 1280
img_emb.proj.1.weight 1280x1280
img_emb.proj.3.weight 5120x1280
blocks.{40}.cross_attn.k_img.weight 5120x5120
)";
constexpr const char* kWanSpeech = R"(
casual_audio_encoder.encoder.final_linear.weight 5120x5120
cond_encoder.weight 5120x16x1x2x2
frame_packer.proj.weight 5120x16x1x2x2
trainable_cond_mask.weight 3x5120
audio_injector.injector.{12}.q.weight 5120x5120
)";

constexpr const char* kLtx2 = R"(
patchify_proj.weight 4096x128
audio_patchify_proj.weight 2048x128
adaln_single.emb.timestep_embedder.linear_1.weight 4096x256
adaln_single.emb.timestep_embedder.linear_1.bias 4096
adaln_single.linear.weight 36864x4096
audio_adaln_single.linear.weight 18432x2048
prompt_adaln_single.linear.weight 8192x4096
av_ca_a2v_gate_adaln_single.linear.weight 4096x4096
proj_out.weight 128x4096
audio_proj_out.weight 128x2048
scale_shift_table 2x4096 F32
audio_scale_shift_table 2x2048 F32
transformer_blocks.{48}.attn1.to_q.weight 4096x4096
transformer_blocks.{48}.attn1.q_norm.weight 4096
transformer_blocks.{48}.attn1.to_gate_logits.weight 32x4096
transformer_blocks.{48}.attn2.to_k.weight 4096x4096
transformer_blocks.{48}.audio_attn1.to_q.weight 2048x2048
transformer_blocks.{48}.ff.net.0.proj.weight 16384x4096
transformer_blocks.{48}.ff.net.2.weight 4096x16384
transformer_blocks.{48}.scale_shift_table 9x4096 F32
)";
constexpr const char* kLtx2Rest = R"(
text_embedding_projection.aggregate_embed.weight 3840x188160
vae.decoder.conv_in.conv.weight 1024x128x3x3x3
vocoder.conv_pre.weight 1024x128x7
model.diffusion_model.video_embeddings_connector.transformer_1d_blocks.{2}.attn1.to_q.weight 3840x3840
)";

constexpr const char* kLtxVideo = R"(
patchify_proj.weight 2048x128
adaln_single.emb.timestep_embedder.linear_1.bias 2048
adaln_single.linear.weight 12288x2048
caption_projection.linear_1.weight 2048x4096
proj_out.weight 128x2048
scale_shift_table 2x2048
transformer_blocks.{28}.attn1.to_q.weight 2048x2048
transformer_blocks.{28}.attn2.to_k.weight 2048x2048
transformer_blocks.{28}.ff.net.0.proj.weight 8192x2048
)";

}  // namespace

std::vector<Architecture> video_networks() {
  const std::vector<Tensor> hunyuan = tensors_of(kHunyuanEnds);
  const std::vector<Tensor> wan = tensors_of(kWan);
  return {
      {"HunyuanVideo", "hunyuan", together(hunyuan, tensors_of(kHunyuanOriginal))},
      {"HunyuanVideo, renamed", "hunyuan", together(hunyuan, tensors_of(kHunyuanComfy))},
      {"HunyuanVideo 1.5", "hunyuan", tensors_of(kHunyuan15)},
      {"Wan 2.1 T2V", "wan", wan},
      {"Wan 2.1 I2V", "wan", together(wan, tensors_of(kWanImage))},
      {"Wan 2.2 S2V", "wan", together(wan, tensors_of(kWanSpeech))},
      {"LTX-2", "ltxv2",
       together(with_prefix("model.diffusion_model.", tensors_of(kLtx2)), tensors_of(kLtx2Rest))},
      {"LTX-Video", "", tensors_of(kLtxVideo)},
  };
}

}  // namespace octavo::test
