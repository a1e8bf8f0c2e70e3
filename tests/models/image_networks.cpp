#include "architectures.hpp"

namespace octavo::test {
namespace {

// FLUX.2 klein 9B: 8 double, 24 single blocks; dev: 8 and 48 of 6,144 features, with guidance.
constexpr const char* kFlux2Klein = R"(
img_in.weight 4096x128
txt_in.weight 4096x12288
time_in.in_layer.weight 4096x256
time_in.out_layer.weight 4096x4096
double_stream_modulation_img.lin.weight 24576x4096
double_stream_modulation_txt.lin.weight 24576x4096
single_stream_modulation.lin.weight 12288x4096
double_blocks.{8}.img_attn.qkv.weight 12288x4096
double_blocks.{8}.img_attn.proj.weight 4096x4096
double_blocks.{8}.img_attn.norm.query_norm.scale 128
double_blocks.{8}.img_attn.norm.key_norm.scale 128
double_blocks.{8}.img_mlp.0.weight 24576x4096
double_blocks.{8}.img_mlp.2.weight 4096x12288
double_blocks.{8}.txt_attn.qkv.weight 12288x4096
double_blocks.{8}.txt_attn.proj.weight 4096x4096
double_blocks.{8}.txt_mlp.0.weight 24576x4096
double_blocks.{8}.txt_mlp.2.weight 4096x12288
single_blocks.{24}.linear1.weight 36864x4096
single_blocks.{24}.linear2.weight 4096x16384
single_blocks.{24}.norm.query_norm.scale 128
final_layer.adaLN_modulation.1.weight 8192x4096
final_layer.linear.weight 128x4096
)";

constexpr const char* kFlux2Dev = R"(
img_in.weight 6144x128
txt_in.weight 6144x15360
time_in.in_layer.weight 6144x256
guidance_in.in_layer.weight 6144x256
guidance_in.out_layer.weight 6144x6144
double_stream_modulation_img.lin.weight 36864x6144
double_stream_modulation_txt.lin.weight 36864x6144
single_stream_modulation.lin.weight 18432x6144
double_blocks.{8}.img_attn.qkv.weight 18432x6144
double_blocks.{8}.img_mlp.0.weight 36864x6144
single_blocks.{48}.linear1.weight 55296x6144
single_blocks.{48}.linear2.weight 6144x24576
final_layer.linear.weight 128x6144
)";

// Both Chroma networks are FLUX.1 schnell without its modulation, which a small network makes instead.
constexpr const char* kChromaBlocks = R"(
distilled_guidance_layer.in_proj.weight 5120x64
distilled_guidance_layer.in_proj.bias 5120
distilled_guidance_layer.layers.{5}.in_layer.weight 5120x5120
distilled_guidance_layer.layers.{5}.out_layer.weight 5120x5120
distilled_guidance_layer.norms.{5}.scale 5120
distilled_guidance_layer.out_proj.weight 3072x5120
txt_in.weight 3072x4096
txt_in.bias 3072
double_blocks.{19}.img_attn.qkv.weight 9216x3072
double_blocks.{19}.img_attn.norm.query_norm.scale 128
double_blocks.{19}.img_attn.proj.weight 3072x3072
double_blocks.{19}.img_mlp.0.weight 12288x3072
double_blocks.{19}.txt_attn.qkv.weight 9216x3072
single_blocks.{38}.linear1.weight 21504x3072
single_blocks.{38}.linear2.weight 3072x15360
)";
constexpr const char* kChromaEnds = R"(
img_in.weight 3072x64
final_layer.linear.weight 64x3072
)";
constexpr const char* kRadianceEnds = R"(
img_in_patch.weight 3072x3x16x16
img_in_patch.bias 3072
nerf_image_embedder.embedder.0.weight 64x67
nerf_blocks.{4}.param_generator.weight 49152x3072
nerf_blocks.{4}.norm.scale 64
nerf_final_layer_conv.norm.scale 64
nerf_final_layer_conv.conv.weight 3x64x3x3
__x0__ 0
)";

constexpr const char* kQwenImage = R"(
img_in.weight 3072x64
img_in.bias 3072
txt_in.weight 3072x3584
txt_norm.weight 3584
time_text_embed.timestep_embedder.linear_1.weight 3072x256
time_text_embed.timestep_embedder.linear_2.weight 3072x3072
norm_out.linear.weight 6144x3072
proj_out.weight 64x3072
transformer_blocks.{60}.attn.to_q.weight 3072x3072
transformer_blocks.{60}.attn.to_k.weight 3072x3072
transformer_blocks.{60}.attn.to_out.0.weight 3072x3072
transformer_blocks.{60}.attn.add_q_proj.weight 3072x3072
transformer_blocks.{60}.attn.to_add_out.weight 3072x3072
transformer_blocks.{60}.attn.norm_q.weight 128
transformer_blocks.{60}.attn.norm_added_q.weight 128
transformer_blocks.{60}.img_mod.1.weight 18432x3072
transformer_blocks.{60}.txt_mod.1.weight 18432x3072
transformer_blocks.{60}.img_mlp.net.0.proj.weight 12288x3072
transformer_blocks.{60}.img_mlp.net.2.weight 3072x12288
)";

constexpr const char* kLens = R"(
img_in.weight 1536x128
txt_in.weight 1536x11520
txt_norm.{4}.weight 2880
time_text_embed.timestep_embedder.linear_1.weight 1536x256
norm_out.linear.weight 3072x1536
proj_out.weight 128x1536
transformer_blocks.{48}.attn.img_qkv.weight 4608x1536
transformer_blocks.{48}.attn.txt_qkv.weight 4608x1536
transformer_blocks.{48}.attn.norm_added_q.weight 64
transformer_blocks.{48}.attn.to_out.0.weight 1536x1536
transformer_blocks.{48}.attn.to_add_out.weight 1536x1536
transformer_blocks.{48}.img_mod.1.weight 9216x1536
transformer_blocks.{48}.txt_mod.1.weight 9216x1536
transformer_blocks.{48}.img_mlp.w1.weight 4096x1536
transformer_blocks.{48}.txt_mlp.w2.weight 1536x4096
)";

constexpr const char* kZImage = R"(
x_embedder.weight 3840x64
x_pad_token 1x3840
cap_pad_token 1x3840
cap_embedder.0.weight 2560
cap_embedder.1.weight 3840x2560
t_embedder.mlp.0.weight 1024x256
noise_refiner.{2}.attention.qkv.weight 11520x3840
noise_refiner.{2}.attention.k_norm.weight 128
noise_refiner.{2}.feed_forward.w1.weight 10240x3840
noise_refiner.{2}.adaLN_modulation.0.weight 15360x256
context_refiner.{2}.attention.qkv.weight 11520x3840
context_refiner.{2}.feed_forward.w1.weight 10240x3840
layers.{30}.attention.qkv.weight 11520x3840
layers.{30}.attention.out.weight 3840x3840
layers.{30}.attention.q_norm.weight 128
layers.{30}.attention_norm1.weight 3840
layers.{30}.feed_forward.w1.weight 10240x3840
layers.{30}.feed_forward.w2.weight 3840x10240
layers.{30}.adaLN_modulation.0.weight 15360x256
final_layer.linear.weight 64x3840
final_layer.adaLN_modulation.1.weight 3840x256
)";

constexpr const char* kAnima = R"(
x_embedder.proj.1.weight 2048x68
t_embedder.1.linear_1.weight 2048x2048
t_embedder.1.linear_2.weight 6144x2048
t_embedding_norm.weight 2048
llm_adapter.embed.weight 32128x1024
llm_adapter.blocks.{6}.self_attn.q_proj.weight 1024x1024
llm_adapter.blocks.{6}.cross_attn.q_proj.weight 1024x1024
llm_adapter.blocks.{6}.mlp.0.weight 4096x1024
llm_adapter.out_proj.weight 1024x1024
blocks.{28}.self_attn.q_proj.weight 2048x2048
blocks.{28}.self_attn.q_norm.weight 128
blocks.{28}.self_attn.output_proj.weight 2048x2048
blocks.{28}.cross_attn.k_proj.weight 2048x1024
blocks.{28}.mlp.layer1.weight 8192x2048
blocks.{28}.mlp.layer2.weight 2048x8192
blocks.{28}.adaln_modulation_self_attn.1.weight 256x2048
blocks.{28}.adaln_modulation_mlp.1.weight 256x2048
blocks.{28}.adaln_modulation_mlp.2.weight 6144x256
final_layer.linear.weight 64x2048
final_layer.adaln_modulation.1.weight 256x2048
)";

constexpr const char* kKrea2 = R"(
first.weight 6144x64
first.bias 6144
tmlp.0.weight 6144x256
tmlp.2.weight 6144x6144
tproj.1.weight 36864x6144
txtmlp.0.scale 2560
txtmlp.1.weight 6144x2560
txtmlp.3.weight 6144x6144
txtfusion.projector.weight 1x12
txtfusion.layerwise_blocks.{2}.attn.wq.weight 2560x2560
txtfusion.layerwise_blocks.{2}.prenorm.scale 2560
txtfusion.refiner_blocks.{2}.mlp.gate.weight 6912x2560
blocks.{28}.attn.wq.weight 6144x6144
blocks.{28}.attn.wk.weight 1536x6144
blocks.{28}.attn.gate.weight 6144x6144
blocks.{28}.attn.wo.weight 6144x6144
blocks.{28}.attn.qknorm.qnorm.scale 128
blocks.{28}.mlp.gate.weight 16384x6144
blocks.{28}.mlp.down.weight 6144x16384
blocks.{28}.mod.lin 36864
last.linear.weight 64x6144
last.modulation.lin 2x6144
)";

constexpr const char* kIdeogram4 = R"(
input_proj.weight 4608x128
llm_cond_norm.weight 53248
llm_cond_proj.weight 4608x53248
t_embedding.mlp_in.weight 4608x4608
t_embedding.mlp_out.weight 4608x4608
adaln_proj.weight 512x4608
embed_image_indicator.weight 2x4608
layers.{34}.attention.qkv.weight 13824x4608
layers.{34}.attention.o.weight 4608x4608
layers.{34}.attention.norm_q.weight 256
layers.{34}.feed_forward.w1.weight 12288x4608
layers.{34}.feed_forward.w2.weight 4608x12288
layers.{34}.adaln_modulation.weight 18432x512
final_layer.linear.weight 128x4608
final_layer.adaln_modulation.weight 4608x512
)";

constexpr const char* kBooguEnds = R"(
x_embedder.weight 2520x64
ref_image_patch_embedder.weight 2520x64
image_index_embedding 5x2520
time_caption_embed.timestep_embedder.linear_1.weight 1024x256
time_caption_embed.timestep_embedder.linear_1.bias 1024
time_caption_embed.caption_embedder.0.weight 2048
time_caption_embed.caption_embedder.1.weight 2520x2048
context_refiner.{2}.attn.to_q.weight 2520x2520
noise_refiner.{2}.attn.to_q.weight 2520x2520
ref_image_refiner.{2}.attn.to_q.weight 2520x2520
norm_out.linear_1.weight 2520x1024
norm_out.linear_2.weight 64x2520
)";
constexpr const char* kBooguStacks = R"(
double_stream_layers.{8}.img_instruct_attn.processor.img_to_q.weight 2520x2520
double_stream_layers.{8}.img_self_attn.to_q.weight 2520x2520
double_stream_layers.{8}.img_feed_forward.linear_1.weight 6912x2520
double_stream_layers.{8}.img_norm1.linear.weight 10080x1024
single_stream_layers.{24}.attn.to_q.weight 2520x2520
single_stream_layers.{24}.feed_forward.linear_2.weight 2520x6912
single_stream_layers.{24}.norm1.linear.weight 10080x1024
)";

}  // namespace

std::vector<Architecture> image_networks() {
  const std::vector<Tensor> chroma = tensors_of(kChromaBlocks);
  return {
      {"FLUX.2 klein", "flux2", tensors_of(kFlux2Klein)},
      {"FLUX.2 dev", "flux2", tensors_of(kFlux2Dev)},
      {"Chroma", "distillation_large", together(chroma, tensors_of(kChromaEnds))},
      {"Chroma Radiance", "nerf_large", together(chroma, tensors_of(kRadianceEnds))},
      {"Qwen-Image", "qwen", tensors_of(kQwenImage)},
      {"Lens", "lens", tensors_of(kLens)},
      {"Z-Image", "zimage", tensors_of(kZImage)},
      {"Anima", "anima", with_prefix("net.", tensors_of(kAnima))},
      {"Krea 2", "krea2", tensors_of(kKrea2)},
      {"Ideogram 4", "ideogram4", tensors_of(kIdeogram4)},
      {"Boogu", "boogu", together(tensors_of(kBooguEnds), tensors_of(kBooguStacks))},
      {"OmniGen 2", "",
       together(tensors_of(kBooguEnds), tensors_of("layers.{32}.attn.to_q.weight 2520x2520"))},
  };
}

}  // namespace octavo::test
