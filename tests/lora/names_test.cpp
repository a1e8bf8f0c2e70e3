// Keys as the exporters write them.
#include "lora/names.hpp"

#include <boost/test/unit_test.hpp>

#include <vector>

namespace {

using octavo::lora::Role;

struct Case {
  const char* key;
  const char* layer;
  Role role;
};

BOOST_AUTO_TEST_CASE(keys_are_taken_apart) {
  const std::vector<Case> cases = {
      {"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight", "lora_unet_double_blocks_0_img_attn_qkv",
       Role::down},
      {"lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight", "lora_unet_double_blocks_0_img_attn_qkv",
       Role::up},
      {"lora_unet_x.alpha", "lora_unet_x", Role::alpha},
      {"transformer.blocks.1.attn.to_q.lora_A.weight", "transformer.blocks.1.attn.to_q", Role::down},
      {"base_model.model.blocks.1.q.lora_B.default.weight", "base_model.model.blocks.1.q", Role::up},
      {"base_model.model.blocks.1.q.lora_A.style_2.weight", "base_model.model.blocks.1.q", Role::down},
      {"diffusion_model.blocks.1.q.lora_A", "diffusion_model.blocks.1.q", Role::down},
      {"unet.mid_block.attn1.to_k.lora.down.weight", "unet.mid_block.attn1.to_k", Role::down},
      {"unet.mid_block.attn1.processor.to_out_lora.up.weight", "unet.mid_block.attn1.to_out.0", Role::up},
      {"unet.mid_block.attn1.processor.to_q_lora.down.weight", "unet.mid_block.attn1.to_q", Role::down},
      {"a.b.down.weight", "a.b", Role::down},
      {"mlp.down.lora_A.weight", "mlp.down", Role::down},
      {"a.diff", "a", Role::weight_difference},
      {"a.diff_b", "a", Role::bias_difference},
      {"lycoris_a.lokr_w2_b", "lycoris_a", Role::kron_2b},
      {"lycoris_a.hada_w1_a", "lycoris_a", Role::hada_1a},
      {"a.dora_scale", "a", Role::unsupported},
      {"a.lora_B.bias", "a", Role::unsupported},
  };
  for (const Case& expected : cases) {
    BOOST_TEST_CONTEXT(expected.key) {
      const auto found = octavo::lora::parse_entry(expected.key);
      BOOST_REQUIRE(found.has_value());
      BOOST_TEST(found->layer == expected.layer);
      BOOST_TEST((found->role == expected.role));
    }
  }
  BOOST_TEST(!octavo::lora::parse_entry("blocks.0.weight").has_value());
  BOOST_TEST(!octavo::lora::parse_entry(".alpha").has_value());
}

BOOST_AUTO_TEST_CASE(prefixes_say_which_network) {
  struct Expected {
    const char* layer;
    const char* part;
    const char* name;
  };
  for (const Expected& expected : std::vector<Expected>{
           {"lora_unet_a_b", "", "a_b"},
           {"transformer.a.b", "", "a.b"},
           {"base_model.model.transformer.a.b", "", "a.b"},
           {"base_model.model.a.b", "", "a.b"},
           {"diffusion_model.lycoris_a_b", "", "a_b"},
           {"lora_te_text_model_x", "te1", "text_model_x"},
           {"lora_te2_text_model_x", "te2", "text_model_x"},
           {"text_encoder_2.text_model.x", "te2", "text_model.x"},
           {"a.transformer.b", "", "a.transformer.b"},
       }) {
    BOOST_TEST_CONTEXT(expected.layer) {
      const auto found = octavo::lora::network_of_entry(expected.layer);
      BOOST_TEST(found.part == expected.part);
      BOOST_TEST(found.name == expected.name);
    }
  }
  BOOST_TEST(octavo::lora::network_of_tensor("conditioner.embedders.0.transformer.text_model.x").part ==
             "te1");
  BOOST_TEST(octavo::lora::network_of_tensor("model.diffusion_model.a").name == "a");
}

}  // namespace
