// What each filter decides about real keys of its architecture, written down by hand.
#define BOOST_TEST_DYN_LINK
#include "filter.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <ostream>
#include <sstream>

namespace octavo::test {
namespace {

struct Case {
  std::string filter;
  std::string decisions;  // one a line: key, shape, decision, rule (a pattern, or what kept it from a layer)
};

std::ostream& operator<<(std::ostream& out, const Case& one) { return out << one.filter; }

const std::vector<Case> kCases = {
    {"flux2", R"(
double_blocks.0.img_attn.qkv.weight 18432x6144 quantize layer
single_blocks.47.linear2.weight 6144x24576 quantize layer
double_blocks.7.txt_mlp.0.weight 36864x6144 quantize layer
img_in.weight 6144x128 high_precision img_in
txt_in.weight 6144x15360 high_precision txt_in
time_in.in_layer.weight 6144x256 high_precision time_in
guidance_in.out_layer.weight 6144x6144 high_precision guidance_in
double_stream_modulation_img.lin.weight 36864x6144 high_precision stream_modulation
single_stream_modulation.lin.weight 18432x6144 high_precision stream_modulation
final_layer.linear.weight 128x6144 high_precision final_layer
final_layer.adaLN_modulation.1.weight 12288x6144 high_precision final_layer
double_blocks.0.img_attn.norm.query_norm.scale 128 keep rank)"},
    {"distillation_large", R"(
double_blocks.0.img_attn.qkv.weight 9216x3072 quantize layer
single_blocks.37.linear1.weight 21504x3072 quantize layer
distilled_guidance_layer.layers.0.in_layer.weight 5120x5120 high_precision distilled_guidance_layer
img_in.weight 3072x64 high_precision img_in
final_layer.linear.weight 64x3072 high_precision final_layer
txt_in.weight 3072x4096 high_precision txt_in
txt_in.bias 3072 keep rank)"},
    {"distillation_small", R"(
distilled_guidance_layer.out_proj.weight 3072x5120 high_precision distilled_guidance_layer
img_in.weight 3072x64 quantize layer
txt_in.weight 3072x4096 quantize layer)"},
    {"nerf_large", R"(
nerf_blocks.0.param_generator.weight 49152x3072 high_precision nerf_blocks
nerf_image_embedder.embedder.0.weight 64x67 high_precision nerf_image_embedder
distilled_guidance_layer.in_proj.weight 5120x64 high_precision distilled_guidance_layer
txt_in.weight 3072x4096 high_precision txt_in
img_in_patch.weight 3072x3x16x16 keep rank
double_blocks.18.img_attn.proj.weight 3072x3072 quantize layer)"},
    {"nerf_small", R"(
nerf_blocks.3.param_generator.weight 49152x3072 high_precision nerf_blocks
txt_in.weight 3072x4096 quantize layer)"},
    {"radiance", R"(
img_in_patch.weight 3072x768 high_precision img_in_patch
nerf_final_layer_conv.conv.weight 3x64x3x3 keep rank
nerf_blocks.3.param_generator.weight 49152x3072 quantize layer
__x0__ 0 keep rank)"},
    {"qwen", R"(
transformer_blocks.0.img_mod.1.weight 18432x3072 high_precision transformer_blocks.0.img_mod.1
transformer_blocks.1.img_mod.1.weight 18432x3072 quantize layer
transformer_blocks.10.img_mod.1.weight 18432x3072 quantize layer
transformer_blocks.0.txt_mod.1.weight 18432x3072 quantize layer
transformer_blocks.59.attn.to_q.weight 3072x3072 quantize layer
transformer_blocks.59.attn.norm_added_q.weight 128 keep rank
time_text_embed.timestep_embedder.linear_1.weight 3072x256 high_precision time_text_embed
img_in.weight 3072x64 high_precision img_in
txt_in.weight 3072x3584 high_precision txt_in
norm_out.linear.weight 6144x3072 high_precision norm_out
proj_out.weight 64x3072 high_precision proj_out)"},
    {"lens", R"(
transformer_blocks.47.img_mod.1.weight 9216x1536 high_precision img_mod.1
transformer_blocks.47.txt_mod.1.weight 9216x1536 high_precision txt_mod.1
transformer_blocks.0.attn.img_qkv.weight 4608x1536 quantize layer
transformer_blocks.0.img_mlp.w1.weight 4096x1536 quantize layer
txt_in.weight 1536x11520 high_precision txt_in
norm_out.linear.weight 3072x1536 high_precision norm_out)"},
    {"zimage", R"(
layers.0.attention.qkv.weight 11520x3840 quantize layer
layers.29.feed_forward.w2.weight 3840x10240 quantize layer
layers.0.adaLN_modulation.0.weight 15360x256 high_precision adaLN_modulation
layers.0.attention_norm1.weight 3840 keep rank
noise_refiner.0.attention.qkv.weight 11520x3840 quantize layer
context_refiner.1.feed_forward.w1.weight 10240x3840 quantize layer
cap_embedder.1.weight 3840x2560 high_precision cap_embedder.1
cap_pad_token 1x3840 keep key
x_embedder.weight 3840x64 high_precision x_embedder
t_embedder.mlp.0.weight 1024x256 high_precision t_embedder
final_layer.linear.weight 64x3840 high_precision final_layer)"},
    {"zimage_refiner", R"(
noise_refiner.0.attention.qkv.weight 11520x3840 high_precision noise_refiner
context_refiner.1.feed_forward.w1.weight 10240x3840 high_precision context_refiner
layers.0.attention.qkv.weight 11520x3840 quantize layer
x_embedder.weight 3840x64 quantize layer
final_layer.linear.weight 64x3840 quantize layer)"},
    {"hunyuan", R"(
double_blocks.0.img_attn_qkv.weight 9216x3072 quantize layer
double_blocks.0.img_attn.qkv.weight 9216x3072 quantize layer
double_blocks.0.img_attn_q_norm.weight 128 keep rank
img_in.proj.weight 3072x16x1x2x2 keep rank
img_in.proj.weight 3072x64 keep img_in.proj
cond_type_embedding.weight 3x2048 keep cond_type_embedding
vision_in.proj.1.weight 1152x1152 quantize layer
vision_in.proj.0.weight 1152 keep rank
txt_in.individual_token_refiner.blocks.0.self_attn_qkv.weight 9216x3072 quantize layer
final_layer.linear.weight 64x3072 quantize layer)"},
    {"wan", R"(
blocks.0.self_attn.q.weight 5120x5120 quantize layer
blocks.39.ffn.2.weight 5120x13824 quantize layer
blocks.39.cross_attn.k_img.weight 5120x5120 quantize layer
blocks.0.self_attn.norm_q.weight 5120 keep rank
blocks.0.modulation 1x6x5120 keep rank
patch_embedding.weight 5120x16x1x2x2 keep rank
text_embedding.0.weight 5120x4096 high_precision text_embedding
time_embedding.2.weight 5120x5120 high_precision time_embedding
time_projection.1.weight 30720x5120 high_precision time_projection
img_emb.proj.1.weight 1280x1280 keep img_emb.proj
head.head.weight 64x5120 high_precision head.head
face_adapter.fuser_blocks.0.linear1_kv.weight 10240x5120 high_precision face_adapter
audio_injector.injector.0.q.weight 5120x5120 high_precision audio_injector
casual_audio_encoder.encoder.final_linear.weight 5120x5120 keep casual_audio_encoder
trainable_cond_mask.weight 3x5120 high_precision trainable_cond_mask
model.diffusion_model.blocks.0.cross_attn.o.weight 5120x5120 quantize layer)"},
    {"ltxv2", R"(
model.diffusion_model.transformer_blocks.2.attn1.to_q.weight 4096x4096 quantize layer
model.diffusion_model.transformer_blocks.45.ff.net.2.weight 4096x16384 quantize layer
model.diffusion_model.transformer_blocks.10.attn1.to_q.weight 4096x4096 quantize layer
model.diffusion_model.transformer_blocks.0.attn1.to_q.weight 4096x4096 high_precision transformer_blocks.0.
model.diffusion_model.transformer_blocks.1.ff.net.2.weight 4096x16384 high_precision transformer_blocks.1.
model.diffusion_model.transformer_blocks.47.attn2.to_k.weight 4096x4096 high_precision transformer_blocks.47.
model.diffusion_model.transformer_blocks.20.attn1.to_gate_logits.weight 32x4096 high_precision to_gate_logits
model.diffusion_model.adaln_single.linear.weight 36864x4096 high_precision adaln_single
model.diffusion_model.audio_adaln_single.linear.weight 18432x2048 high_precision adaln_single
model.diffusion_model.patchify_proj.weight 4096x128 high_precision patchify_proj
model.diffusion_model.audio_proj_out.weight 128x2048 high_precision audio_proj_out
model.diffusion_model.scale_shift_table 2x4096 keep key
vae.decoder.conv_in.conv.weight 1024x128x3x3x3 keep rank
text_embedding_projection.aggregate_embed.weight 3840x188160 high_precision text_embedding_projection)"},
    {"anima", R"(
net.blocks.0.self_attn.q_proj.weight 2048x2048 high_precision net.blocks.0.
net.blocks.1.self_attn.q_proj.weight 2048x2048 quantize layer
net.blocks.1.adaln_modulation_mlp.1.weight 256x2048 high_precision net.blocks.1.adaln_modulation
net.blocks.2.adaln_modulation_mlp.1.weight 256x2048 quantize layer
net.blocks.27.mlp.layer2.weight 2048x8192 quantize layer
net.llm_adapter.embed.weight 32128x1024 high_precision llm_adapter
net.llm_adapter.blocks.3.mlp.0.weight 4096x1024 high_precision llm_adapter
net.x_embedder.proj.1.weight 2048x68 high_precision x_embedder
net.t_embedder.1.linear_2.weight 6144x2048 high_precision t_embedder
model.diffusion_model.blocks.0.self_attn.q_proj.weight 2048x2048 quantize layer)"},
    {"krea2", R"(
first.weight 6144x64 high_precision firs
last.linear.weight 64x6144 high_precision las
last.modulation.lin 2x6144 keep key
tmlp.0.weight 6144x256 high_precision tml
txtmlp.3.weight 6144x6144 high_precision tml
tproj.1.weight 36864x6144 high_precision tpro
txtfusion.projector.weight 1x12 high_precision txtfusion
txtfusion.refiner_blocks.1.mlp.gate.weight 6912x2560 high_precision txtfusion
blocks.0.attn.wq.weight 6144x6144 quantize layer
blocks.27.mlp.down.weight 6144x16384 quantize layer
blocks.0.attn.qknorm.qnorm.scale 128 keep rank)"},
    {"ideogram4", R"(
layers.0.attention.qkv.weight 13824x4608 quantize layer
layers.33.feed_forward.w2.weight 4608x12288 quantize layer
layers.0.adaln_modulation.weight 18432x512 quantize layer
adaln_proj.weight 512x4608 high_precision adaln_proj
embed_image_indicator.weight 2x4608 high_precision embed_image_indicator
llm_cond_proj.weight 4608x53248 high_precision llm_cond_proj
t_embedding.mlp_in.weight 4608x4608 high_precision t_embedding
input_proj.weight 4608x128 high_precision input_proj
final_layer.adaln_modulation.weight 4608x512 high_precision final_layer)"},
    {"boogu", R"(
double_stream_layers.0.img_instruct_attn.processor.img_to_q.weight 2520x2520 quantize layer
single_stream_layers.23.feed_forward.linear_2.weight 2520x6912 quantize layer
noise_refiner.0.attn.to_q.weight 2520x2520 quantize layer
x_embedder.weight 2520x64 high_precision x_embedder
ref_image_patch_embedder.weight 2520x64 high_precision ref_image_patch_embedder
image_index_embedding 5x2520 keep key
time_caption_embed.caption_embedder.1.weight 2520x2048 high_precision time_caption_embed
norm_out.linear_1.weight 2520x1024 high_precision norm_out.linear_1
norm_out.linear_2.weight 64x2520 high_precision norm_out.linear_2)"},
    {"t5xxl", R"(
encoder.block.0.layer.0.SelfAttention.q.weight 4096x4096 quantize layer
encoder.block.23.layer.1.DenseReluDense.wo.weight 4096x10240 quantize layer
encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight 32x64 keep bias
encoder.block.0.layer.0.layer_norm.weight 4096 keep rank
shared.weight 32128x4096 keep shared
encoder.embed_tokens.weight 32128x4096 keep embed_tokens
decoder.block.0.layer.0.SelfAttention.q.weight 4096x4096 remove decoder
decoder.block.0.layer.0.layer_norm.weight 4096 remove decoder
lm_head.weight 32128x4096 remove lm_head
spiece_model 4548313 keep rank)"},
    {"mistral", R"(
model.layers.0.self_attn.q_proj.weight 4096x5120 quantize layer
model.layers.39.mlp.down_proj.weight 5120x32768 quantize layer
model.layers.0.input_layernorm.weight 5120 keep rank
model.embed_tokens.weight 131072x5120 keep embed_tokens
lm_head.weight 131072x5120 keep lm_head
multi_modal_projector.linear_1.weight 5120x1024 keep multi_modal_projector
vision_tower.transformer.layers.0.attention.q_proj.weight 1024x1024 quantize layer)"},
    {"visual", R"(
visual.blocks.0.mlp.gate_proj.weight 3420x1280 keep mlp.gate_proj
visual.blocks.31.mlp.down_proj.weight 1280x3420 keep mlp.down_proj
visual.blocks.31.mlp.up_proj.weight 3420x1280 keep mlp.up_proj
visual.blocks.0.attn.qkv.weight 3840x1280 quantize layer
visual.merger.mlp.0.weight 5120x5120 quantize layer)"},
    {"qwen35", R"(
model.language_model.layers.0.mlp.gate_proj.weight 17408x5120 keep .layers.0.
model.language_model.layers.63.self_attn.q_proj.weight 12288x5120 keep .layers.63.
model.language_model.layers.10.mlp.gate_proj.weight 17408x5120 quantize layer
model.language_model.layers.1.linear_attn.in_proj_qkv.weight 10240x5120 quantize layer
model.language_model.layers.1.linear_attn.in_proj_a.weight 48x5120 keep in_proj_a
model.language_model.layers.1.linear_attn.in_proj_b.weight 48x5120 keep in_proj_b
model.language_model.embed_tokens.weight 248320x5120 keep embed_tokens
lm_head.weight 248320x5120 keep lm_head
model.visual.blocks.0.attn.qkv.weight 3456x1152 keep visual.blocks.0.
model.visual.blocks.10.attn.qkv.weight 3456x1152 quantize layer
model.visual.deepstack_merger_list.0.linear_fc1.weight 4608x4608 keep merger
model.visual.pos_embed.weight 2304x1152 keep visual.pos_embed
mtp.fc.weight 5120x10240 keep mtp.fc)"},
    {"gemma4", R"(
model.language_model.layers.0.self_attn.q_proj.weight 2048x2560 quantize layer
model.language_model.layers.41.mlp.gate_proj.weight 10240x2560 quantize layer
model.language_model.layers.0.per_layer_input_gate.weight 256x2560 keep per_layer_input_gate
model.language_model.layers.0.per_layer_projection.weight 2560x256 keep per_layer_projection
model.language_model.layers.0.layer_scalar 1 keep rank
model.vision_tower.encoder.layers.0.self_attn.q_proj.linear.weight 768x768 keep vision
model.audio_tower.layers.0.feed_forward1.ffw_layer_1.linear.weight 4096x1024 keep audio
multi_modal_projector.linear.weight 2560x768 keep multi_modal_projector)"},
    {"lora", R"(
diffusion_model.blocks.0.self_attn.q.lora_A.weight 16x5120 quantize layer
diffusion_model.blocks.0.self_attn.q.lora_B 5120x16 quantize layer
lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight 16x3072 quantize layer
lora_unet_double_blocks_0_img_attn_qkv.alpha - keep rank
diffusion_model.alpha_blocks.0.q.lora_A.weight 16x64 keep alpha)"},
};

// Substrings hit more than they seem to: kept, because the published lists are meant that way.
const std::vector<Case> kTraps = {
    {"t5xxl", R"(
transformer.norm_out.linear.weight 6144x3072 keep norm
encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight 32x64 keep bias
text_decoder.layers.0.fc1.weight 4096x4096 remove decoder
vae.decoder.conv_in.weight 512x4x3x3 remove decoder)"},
    {"mistral", R"(
model.layers.0.mlp.shared_expert.up_proj.weight 4096x4096 keep shared
norm_out.linear.weight 6144x3072 keep norm)"},
    {"wan", R"(
norm_out.linear.weight 6144x3072 keep norm
blocks.0.shared_expert.weight 512x512 keep shared)"},
    {"zimage", R"(
norm_out.linear.weight 6144x3072 keep norm
relative_attention_bias.weight 32x64 keep bias)"},
    {"lora", R"(
diffusion_model.scale_shift_table.lora_A.weight 16x4096 keep scale)"},
    {"flux2", R"(
img_in_patch.weight 3072x768 high_precision img_in)"},
    {"distillation_large", R"(
img_in_patch.weight 3072x768 high_precision img_in)"},
    {"ltxv2", R"(
vae.per_channel.scale_shift_table.weight 2x128 high_precision scale_shift_table)"},
    {"krea2", R"(
classifier.weight 1000x1024 high_precision las)"},
    {"radiance", R"(
img_in.weight 3072x64 quantize layer)"},
};

void check(const Case& one) {
  const Filter filter(library_of(one.filter));
  std::istringstream lines(one.decisions);
  int checked = 0;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string key;
    std::string shape;
    std::string decision;
    std::string rule;
    if (!(words >> key >> shape >> decision >> rule)) continue;
    const Verdict verdict = filter.classify(tensors_of(key.append(" ").append(shape)).front());
    BOOST_TEST_CONTEXT(line) {
      BOOST_TEST(name(verdict.decision) == decision);
      BOOST_TEST(verdict.rule == rule);
      BOOST_TEST(!verdict.reason.empty());
    }
    ++checked;
  }
  BOOST_TEST(checked > 0);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(decisions)

BOOST_DATA_TEST_CASE(of_real_keys, kCases, one) { check(one); }

BOOST_DATA_TEST_CASE(of_substring_traps, kTraps, one) { check(one); }

BOOST_AUTO_TEST_CASE(every_filter_is_covered) {
  for (const std::string& id : filter_ids()) {
    const bool covered =
        std::any_of(kCases.begin(), kCases.end(), [&](const Case& c) { return c.filter == id; });
    BOOST_TEST((covered || id == "generic"), id);
  }
}

// What is no layer stays whatever the lists say; generic's smallest size is its own and not theirs.
BOOST_AUTO_TEST_CASE(common_to_all) {
  for (const std::string& id : filter_ids()) {
    if (id == "generic") continue;
    const Filter filter(library_of(id));
    BOOST_TEST_CONTEXT(id) {
      BOOST_TEST(filter.classify({"blocks.2.ab.weight", {512, 512, 3}}).rule == "rank");
      BOOST_TEST(filter.classify({"blocks.2.ab.weight", {512}}).reason == "1 dimensions, not 2");
      BOOST_TEST(filter.classify({"blocks.2.ab.table", {512, 512}}).rule == "key");
      BOOST_TEST(filter.classify({"blocks.2.ab.weight", {512, 512}, OCTAVO_I64}).rule == "dtype");
      BOOST_TEST(filter.classify({"blocks.2.ab.weight", {0, 512}}).rule == "size");
      for (const std::uint32_t dtype : {OCTAVO_F32, OCTAVO_F16, OCTAVO_BF16}) {
        const Verdict tiny = filter.classify({"blocks.2.ab.weight", {3, 5}, dtype});
        BOOST_TEST(tiny.decision == OCTAVO_DECISION_QUANTIZE);
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::test
