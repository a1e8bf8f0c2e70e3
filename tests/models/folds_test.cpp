// Where each filter lets SmoothQuant fold the inverse of its factors, written down by hand.
#define BOOST_TEST_DYN_LINK
#include "filter.hpp"

#include <boost/test/unit_test.hpp>

#include <set>
#include <string>
#include <vector>

namespace octavo::test {
namespace {

struct Fold {
  std::string filter;
  std::string layer;
  std::string target;  // "": none
};

const std::vector<Fold> kFolds = {
    {"t5xxl", "encoder.block.23.layer.0.SelfAttention.q", "encoder.block.23.layer.0.layer_norm.weight"},
    {"t5xxl", "text_encoders.t5.encoder.block.3.layer.1.DenseReluDense.wi_0",
     "text_encoders.t5.encoder.block.3.layer.1.layer_norm.weight"},
    {"t5xxl", "encoder.block.0.layer.1.DenseReluDense.wo",
     "encoder.block.0.layer.1.DenseReluDense.wi_1.weight"},
    {"t5xxl", "encoder.block.0.layer.0.SelfAttention.o", "encoder.block.0.layer.0.SelfAttention.v.weight"},
    {"t5xxl", "encoder.block.x.layer.0.SelfAttention.q", ""},
    {"t5xxl", "encoder.block..layer.0.SelfAttention.q", ""},
    {"t5xxl", "encoder.myblock.0.layer.0.SelfAttention.q", ""},
    {"t5xxl", "shared", ""},
    {"mistral", "model.layers.39.mlp.down_proj", "model.layers.39.mlp.up_proj.weight"},
    {"mistral", "layers.0.self_attn.k_proj", "layers.0.input_layernorm.weight"},
    {"mistral", "layers.0.self_attn.o_proj", ""},  // reads each value several times
    {"wan", "blocks.11.cross_attn.q", "blocks.11.norm3.weight"},
    {"wan", "vace_blocks.0.cross_attn.q", ""},
    {"wan", "blocks.11.cross_attn.k", ""},  // reads the text
    {"wan", "blocks.11.ffn.0", ""},         // its norm has no weight
    {"zimage", "model.diffusion_model.layers.5.feed_forward.w2",
     "model.diffusion_model.layers.5.feed_forward.w3.weight"},
    {"zimage", "layers.5.attention.out", ""},  // its values are a part of a fused weight
    {"generic", "layers.0.self_attn.q_proj", ""},
    {"flux2", "double_blocks.0.img_attn.qkv", ""},
};

BOOST_AUTO_TEST_SUITE(folds)

BOOST_AUTO_TEST_CASE(places) {
  for (const Fold& fold : kFolds)
    BOOST_TEST(Filter(library_of(fold.filter)).fold_target(fold.layer) == fold.target,
               fold.filter << ": " << fold.layer);
}

// All layers that read a norm have to name it: one that is missed would read divided inputs unscaled.
BOOST_AUTO_TEST_CASE(all_readers_of_a_norm_name_it) {
  const Filter t5(library_of("t5xxl")), mistral(library_of("mistral"));
  std::set<std::string> targets;
  for (const char* layer : {"q", "k", "v"})
    targets.insert(t5.fold_target(std::string("encoder.block.7.layer.0.SelfAttention.") + layer));
  BOOST_TEST(targets.size() == 1u);
  targets.clear();
  for (const char* layer : {"gate_proj", "up_proj"})
    targets.insert(mistral.fold_target(std::string("layers.7.mlp.") + layer));
  BOOST_TEST(targets.size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::test
