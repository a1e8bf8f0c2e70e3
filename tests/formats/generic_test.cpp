#define BOOST_TEST_DYN_LINK
#include "plugin_under_test.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

using namespace octavo::test;

namespace {

struct Case {
  const char* name;
  std::vector<std::int64_t> shape;
  octavo_decision decision;
  const char* rule;
  octavo_dtype dtype = OCTAVO_BF16;
  const char* prefix = "";
};

constexpr octavo_decision kQuantize = OCTAVO_DECISION_QUANTIZE;
constexpr octavo_decision kKeep = OCTAVO_DECISION_KEEP;
constexpr octavo_decision kHigh = OCTAVO_DECISION_HIGH_PRECISION;

void check(const std::vector<Case>& cases) {
  const ModelUnderTest model(OCTAVO_TEST_generic);
  for (const Case& c : cases) {
    BOOST_TEST_CONTEXT(c.name) {
      const octavo_classification made = model.classify({c.name, c.dtype, c.shape}, c.prefix);
      BOOST_TEST(made.decision == static_cast<unsigned>(c.decision));
      BOOST_TEST(std::string(made.rule) == c.rule);
      BOOST_TEST(!std::string(made.reason).empty());
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(generic)

BOOST_AUTO_TEST_CASE(is_the_fallback) {
  const ModelUnderTest model(OCTAVO_TEST_generic);
  BOOST_TEST(std::string(model.plugin().id) == "generic");
  BOOST_TEST(model.plugin().flags == OCTAVO_MODEL_FALLBACK);
  const octavo_detection detection = model.detect(FakeHeader({}));
  BOOST_TEST(detection.score == 1u);
  BOOST_TEST(std::string(detection.reason) == "no filter recognised this checkpoint");
}

BOOST_AUTO_TEST_CASE(structure) {
  check({{"a.weight", {64}, kKeep, "rank"},
         {"conv.weight", {320, 4, 3, 3}, kKeep, "rank"},
         {"a.bias", {64, 64}, kKeep, "key"},
         {"attn.in_proj_weight", {3072, 1024}, kKeep, "key"},
         {"a.weight", {64, 64}, kKeep, "dtype", OCTAVO_I8},
         {"a.weight", {64, 64}, kQuantize, "layer", OCTAVO_F8_E4M3},
         {"a.weight", {63, 640}, kKeep, "size"},
         {"a.weight", {640, 32}, kKeep, "size"},
         {"a.weight", {0, 640}, kKeep, "size"},
         {"a.weight", {100, 640}, kKeep, "multiple of 8"},
         {"a.weight", {640, 100}, kKeep, "multiple of 8"},
         {"a.weight", {64, 72}, kQuantize, "layer"},
         {"x.0.lora_A", {64, 640}, kQuantize, "layer"},
         {"x.0.lora_B.weight", {640, 16}, kKeep, "size"}});
}

// all-MiniLM-L6-v2.
BOOST_AUTO_TEST_CASE(bert) {
  check({{"embeddings.word_embeddings.weight", {30522, 384}, kKeep, "multiple of 8", OCTAVO_F32},
         {"embeddings.word_embeddings.weight", {30528, 384}, kKeep, "word_embeddings", OCTAVO_F32},
         {"embeddings.position_embeddings.weight", {512, 384}, kKeep, "position_embeddings", OCTAVO_F32},
         {"embeddings.token_type_embeddings.weight", {2, 384}, kKeep, "size", OCTAVO_F32},
         {"embeddings.LayerNorm.weight", {384}, kKeep, "rank", OCTAVO_F32},
         {"embeddings.position_ids", {1, 512}, kKeep, "key", OCTAVO_I64},
         {"encoder.layer.0.attention.self.query.weight", {384, 384}, kQuantize, "layer", OCTAVO_F32},
         {"encoder.layer.0.attention.output.dense.weight", {384, 384}, kQuantize, "layer", OCTAVO_F32},
         {"encoder.layer.5.intermediate.dense.weight", {1536, 384}, kQuantize, "layer", OCTAVO_F32},
         {"pooler.dense.weight", {384, 384}, kQuantize, "layer", OCTAVO_F32}});
}

BOOST_AUTO_TEST_CASE(flux) {
  check({{"double_blocks.0.img_attn.qkv.weight", {9216, 3072}, kQuantize, "layer"},
         {"double_blocks.0.img_mod.lin.weight", {18432, 3072}, kQuantize, "layer"},
         {"double_blocks.0.img_attn.norm.key_norm.scale", {128}, kKeep, "rank"},
         {"single_blocks.37.linear1.weight", {21504, 3072}, kQuantize, "layer"},
         {"img_in.weight", {3072, 64}, kHigh, "img_in"},
         {"txt_in.weight", {3072, 4096}, kHigh, "txt_in"},
         {"time_in.in_layer.weight", {3072, 256}, kHigh, "time_in"},
         {"guidance_in.out_layer.weight", {3072, 3072}, kHigh, "guidance_in"},
         {"final_layer.linear.weight", {64, 3072}, kHigh, "final_layer"},
         {"model.diffusion_model.img_in.weight",
          {3072, 64},
          kHigh,
          "img_in",
          OCTAVO_BF16,
          "model.diffusion_model."}});
}

BOOST_AUTO_TEST_CASE(sdxl) {
  check({{"model.diffusion_model.time_embed.0.weight", {1280, 320}, kHigh, "time_embed"},
         {"model.diffusion_model.label_emb.0.0.weight", {1280, 2816}, kHigh, "label_emb"},
         {"model.diffusion_model.input_blocks.0.0.weight", {320, 4, 3, 3}, kKeep, "rank"},
         {"model.diffusion_model.input_blocks.1.0.emb_layers.1.weight", {320, 1280}, kQuantize, "layer"},
         {"model.diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.weight",
          {1280, 1280},
          kQuantize,
          "layer"},
         // `embedders` is the folder of the text encoders, not an embedding.
         {"conditioner.embedders.0.transformer.text_model.encoder.layers.0.mlp.fc1.weight",
          {3072, 768},
          kQuantize,
          "layer"},
         {"conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight",
          {49408, 768},
          kKeep,
          "token_embedding"},
         {"conditioner.embedders.1.model.text_projection", {1280, 1280}, kKeep, "key"}});
}

BOOST_AUTO_TEST_CASE(text_encoders) {
  check({{"shared.weight", {32128, 4096}, kKeep, "shared"},
         {"mlp.shared.weight", {4096, 4096}, kQuantize, "layer"},
         {"encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", {32, 64}, kKeep, "size"},
         {"encoder.block.0.layer.1.DenseReluDense.wi_0.weight", {10240, 4096}, kQuantize, "layer"},
         {"lm_head.weight", {151936, 4096}, kKeep, "lm_head"},
         {"model.lm_head.weight", {151936, 4096}, kHigh, "lm_head"},
         {"text_encoders.qwen.lm_head.weight",
          {151936, 4096},
          kKeep,
          "lm_head",
          OCTAVO_BF16,
          "text_encoders.qwen."},
         {"model.embed_tokens.weight", {151936, 4096}, kKeep, "embed_tokens"},
         {"transformer.wte.weight", {50264, 768}, kKeep, "wte"},
         {"transformer.h.0.ln_1.weight", {64, 64}, kKeep, "ln_1"},
         {"model.layers.0.mlp.shared_expert.gate_proj.weight", {5632, 2048}, kQuantize, "layer"}});
}

// Strings that contain a word without being one.
BOOST_AUTO_TEST_CASE(components_not_substrings) {
  check({{"norm_out.linear.weight", {6144, 3072}, kQuantize, "layer"},
         {"img_in_patch.proj.weight", {3072, 768}, kQuantize, "layer"},
         {"blocks.0.transpose.weight", {640, 640}, kQuantize, "layer"},
         {"blocks.0.normalizer_free.weight", {640, 640}, kQuantize, "layer"}});
}

BOOST_AUTO_TEST_SUITE_END()
