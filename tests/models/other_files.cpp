// LoRA files, and networks for which there is no filter.
#include "architectures.hpp"

namespace octavo::test {
namespace {

constexpr const char* kLoraDiffusers = R"(
diffusion_model.double_blocks.{8}.img_attn.qkv.lora_A.weight 16x6144
diffusion_model.double_blocks.{8}.img_attn.qkv.lora_B.weight 18432x16
diffusion_model.single_blocks.{48}.linear1.lora_A.weight 16x6144
diffusion_model.single_blocks.{48}.linear1.lora_B.weight 55296x16
)";
constexpr const char* kLoraKohya = R"(
lora_unet_double_blocks_{19}_img_attn_qkv.lora_down.weight 16x3072
lora_unet_double_blocks_{19}_img_attn_qkv.lora_up.weight 9216x16
lora_unet_double_blocks_{19}_img_attn_qkv.alpha -
)";

constexpr const char* kFlux1 = R"(
img_in.weight 3072x64
txt_in.weight 3072x4096
time_in.in_layer.weight 3072x256
vector_in.in_layer.weight 3072x768
guidance_in.in_layer.weight 3072x256
double_blocks.{19}.img_attn.qkv.weight 9216x3072
double_blocks.{19}.img_mod.lin.weight 18432x3072
single_blocks.{38}.linear1.weight 21504x3072
single_blocks.{38}.modulation.lin.weight 9216x3072
final_layer.linear.weight 64x3072
)";
constexpr const char* kLumina2 = R"(
x_embedder.weight 2304x64
cap_embedder.0.weight 2304
cap_embedder.1.weight 2304x2304
noise_refiner.{2}.attention.k_norm.weight 96
noise_refiner.{2}.attention.qkv.weight 3840x2304
context_refiner.{2}.attention.qkv.weight 3840x2304
layers.{26}.attention.qkv.weight 3840x2304
layers.{26}.feed_forward.w1.weight 9216x2304
layers.{26}.adaLN_modulation.1.weight 9216x1024
final_layer.linear.weight 64x2304
)";
constexpr const char* kCosmosPredict2 = R"(
x_embedder.proj.1.weight 2048x68
t_embedder.1.linear_1.weight 2048x2048
blocks.{28}.self_attn.q_proj.weight 2048x2048
blocks.{28}.mlp.layer1.weight 8192x2048
blocks.{28}.adaln_modulation_mlp.1.weight 256x2048
final_layer.linear.weight 64x2048
)";
constexpr const char* kSdxl = R"(
model.diffusion_model.time_embed.0.weight 1280x320
model.diffusion_model.label_emb.0.0.weight 1280x2816
model.diffusion_model.input_blocks.0.0.weight 320x4x3x3
model.diffusion_model.input_blocks.4.1.transformer_blocks.{2}.attn1.to_q.weight 640x640
model.diffusion_model.middle_block.1.transformer_blocks.{10}.attn2.to_k.weight 1280x2048
model.diffusion_model.out.2.weight 4x320x3x3
conditioner.embedders.0.transformer.text_model.encoder.layers.{12}.mlp.fc1.weight 3072x768
first_stage_model.decoder.conv_in.weight 512x4x3x3
)";
constexpr const char* kBert = R"(
embeddings.word_embeddings.weight 30522x384
encoder.layer.{6}.attention.self.query.weight 384x384
encoder.layer.{6}.output.dense.weight 384x1536
pooler.dense.weight 384x384
)";

}  // namespace

std::vector<Architecture> other_files() {
  return {
      {"LoRA of FLUX.2", "lora", tensors_of(kLoraDiffusers)},
      {"LoRA of FLUX.1, kohya names", "lora", tensors_of(kLoraKohya)},
      {"FLUX.1", "", tensors_of(kFlux1)},
      {"Lumina 2", "", tensors_of(kLumina2)},
      {"Cosmos-Predict2", "", tensors_of(kCosmosPredict2)},
      {"SDXL", "", tensors_of(kSdxl)},
      {"BERT", "", tensors_of(kBert)},
      {"one tensor", "", tensors_of("weight 64x64")},
      {"no tensor", "", {}},
  };
}

}  // namespace octavo::test
