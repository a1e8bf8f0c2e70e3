// t5xxl: T5-XXL and UMT5-XXL encoders: keeps tables, norms and biases, leaves the decoder out.
#include "../lists/avoid.hpp"

#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kOwn[] = {
    octavo::leave_out("decoder", "not used: image and video tools load the encoder"),
    octavo::leave_out("lm_head", "not used: image and video tools load the encoder"),
};
constexpr auto kPatterns = octavo::join(octavo::lists::kAvoid, kOwn);
constexpr octavo::SignatureKey kSignature[] = {
    octavo::required_key("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"),
    octavo::required_key("encoder.block.0.layer.1.DenseReluDense.wi_1.weight", 10240, 4096),
    octavo::required_key("encoder.final_layer_norm.weight"),
    octavo::each_block("encoder.block.{}.layer.0.SelfAttention.q.weight"),
    octavo::each_block("encoder.block.{}.layer.1.DenseReluDense.wo.weight"),
};
// v1.1 and UMT5: no biases, norms that only scale, a gated feed-forward: wo reads gelu(wi_0 x) times wi_1 x.
constexpr octavo::Fold kFolds[] = {
    {"block.{}.layer.0.SelfAttention.q", "block.{}.layer.0.layer_norm.weight"},
    {"block.{}.layer.0.SelfAttention.k", "block.{}.layer.0.layer_norm.weight"},
    {"block.{}.layer.0.SelfAttention.v", "block.{}.layer.0.layer_norm.weight"},
    {"block.{}.layer.0.SelfAttention.o", "block.{}.layer.0.SelfAttention.v.weight"},
    {"block.{}.layer.1.DenseReluDense.wi_0", "block.{}.layer.1.layer_norm.weight"},
    {"block.{}.layer.1.DenseReluDense.wi_1", "block.{}.layer.1.layer_norm.weight"},
    {"block.{}.layer.1.DenseReluDense.wo", "block.{}.layer.1.DenseReluDense.wi_1.weight"},
};

class T5xxl final : public octavo::PatternModel {
 public:
  T5xxl(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns, kSignature, {}, {}, kFolds}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(
    T5xxl, {.id = "t5xxl",
            .version = OCTAVO_PLUGIN_VERSION,
            .summary = "T5-XXL and UMT5-XXL encoders: keeps tables, norms and biases, leaves the decoder out",
            .flags = OCTAVO_MODEL_AUTO})
