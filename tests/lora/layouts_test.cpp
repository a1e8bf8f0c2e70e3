// Names of one network in two layouts, and the rows of fused weights.
#include "lora/layouts.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <string>

namespace {

using octavo::lora::aliases;
using octavo::lora::rows_of;
using octavo::lora::Slice;

bool is_also(const std::string& stored, const std::string& other, Slice slice = Slice::whole) {
  const auto found = aliases(stored);
  return std::any_of(found.begin(), found.end(),
                     [&](const auto& alias) { return alias.name == other && alias.slice == slice; });
}

BOOST_AUTO_TEST_CASE(diffusers_names) {
  BOOST_TEST(is_also("double_blocks.17.img_attn.qkv", "transformer_blocks.17.attn.to_k", Slice::key));
  BOOST_TEST(is_also("single_blocks.3.linear1", "single_transformer_blocks.3.proj_mlp", Slice::rest));
  BOOST_TEST(is_also("layers.4.attention.qkv", "layers.4.attention.to_v", Slice::value));
  BOOST_TEST(is_also("layers.4.attention.out", "layers.4.attention.to_out.0"));
  BOOST_TEST(is_also("blocks.9.cross_attn.o", "blocks.9.attn2.to_out.0"));
  BOOST_TEST(!is_also("double_blocks.1x.img_attn.proj", "transformer_blocks.1x.attn.to_out.0"));
  BOOST_TEST(aliases("blocks.0.mlp.fc1").empty());
}

// The first layers of Stable Diffusion's UNet, counted by hand.
BOOST_AUTO_TEST_CASE(unet_names) {
  BOOST_TEST(is_also("input_blocks.1.0.in_layers.2", "down_blocks.0.resnets.0.conv1"));
  BOOST_TEST(is_also("input_blocks.2.1.transformer_blocks.0.attn1.to_q",
                     "down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q"));
  BOOST_TEST(is_also("input_blocks.3.0.op", "down_blocks.0.downsamplers.0.conv"));
  BOOST_TEST(is_also("input_blocks.4.0.skip_connection", "down_blocks.1.resnets.0.conv_shortcut"));
  BOOST_TEST(is_also("middle_block.1.proj_in", "mid_block.attentions.0.proj_in"));
  BOOST_TEST(is_also("middle_block.2.out_layers.3", "mid_block.resnets.1.conv2"));
  BOOST_TEST(is_also("output_blocks.5.2.conv", "up_blocks.1.upsamplers.0.conv"));
  BOOST_TEST(is_also("output_blocks.5.1.proj_out", "up_blocks.1.attentions.2.proj_out"));
}

BOOST_AUTO_TEST_CASE(rows_of_fused_weights) {
  BOOST_TEST(rows_of(Slice::query, 96, 32, 32).at(0).begin == 0);
  BOOST_TEST(rows_of(Slice::key, 96, 32, 32).at(0).begin == 32);
  BOOST_TEST(rows_of(Slice::value, 96, 32, 32).at(0).begin == 64);
  // Grouped queries: [64; 16; 16].
  BOOST_TEST(rows_of(Slice::query, 96, 64, 64).at(0).rows == 64);
  BOOST_TEST(rows_of(Slice::key, 96, 64, 16).at(0).begin == 64);
  BOOST_TEST(rows_of(Slice::value, 96, 64, 16).at(0).begin == 80);
  BOOST_TEST(rows_of(Slice::rest, 7 * 32, 32, 4 * 32).at(0).begin == 96);
  BOOST_TEST(rows_of(Slice::square_value, 7 * 32, 32, 32).at(0).begin == 64);
  BOOST_TEST(rows_of(Slice::swapped_halves, 8, 4, 8).at(0).from == 4);
  BOOST_TEST(rows_of(Slice::swapped_halves, 8, 4, 8).at(1).begin == 4);
  BOOST_TEST(rows_of(Slice::whole, 96, 32, 32).empty());
  BOOST_TEST(rows_of(Slice::query, 96, 32, 31).empty());
  BOOST_TEST(rows_of(Slice::rest, 7 * 32, 32, 3 * 32).empty());
}

}  // namespace
