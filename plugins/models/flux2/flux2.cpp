// flux2: FLUX.2 dev and klein: keeps modulation, inputs and output.
#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kPatterns[] = {
    octavo::high_precision("stream_modulation", "modulation that all blocks share"),
    octavo::high_precision("guidance_in", "guidance in"),
    octavo::high_precision("time_in", "time in"),
    octavo::high_precision("final_layer", "the output"),
    octavo::high_precision("img_in", "image latents in"),
    octavo::high_precision("txt_in", "text features in"),
};
constexpr octavo::SignatureKey kSignature[] = {
    octavo::required_key("double_stream_modulation_img.lin.weight"),
    octavo::required_key("double_stream_modulation_txt.lin.weight"),
    octavo::required_key("single_stream_modulation.lin.weight"),
    octavo::required_key("img_in.weight"),
    octavo::required_key("txt_in.weight"),
    octavo::required_key("time_in.in_layer.weight"),
    octavo::each_block("double_blocks.{}.img_attn.qkv.weight"),
    octavo::each_block("single_blocks.{}.linear1.weight"),
};
constexpr octavo::SignatureKey kDiffusers[] = {
    octavo::required_key("double_stream_modulation_img.linear.weight"),
    octavo::required_key("transformer_blocks.0.attn.to_q.weight"),
};

class Flux2 final : public octavo::PatternModel {
 public:
  Flux2(const octavo::Host&, const octavo::Params&)
      : PatternModel(
            {kPatterns,
             kSignature,
             {},
             {kDiffusers,
              "the diffusers layout, which loaders re-key without the scales: convert the layout first"}}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(Flux2, {.id = "flux2",
                            .version = OCTAVO_PLUGIN_VERSION,
                            .summary = "FLUX.2 dev and klein: keeps modulation, inputs and output",
                            .flags = OCTAVO_MODEL_AUTO})
