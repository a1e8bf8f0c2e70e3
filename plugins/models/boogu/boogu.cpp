// boogu: Boogu: keeps inputs, output, time and captions.
#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kPatterns[] = {
    octavo::high_precision("image_index_embedding", "a table"),
    octavo::high_precision("ref_image_patch_embedder", "reference image in"),
    octavo::high_precision("time_caption_embed", "time and caption in"),
    octavo::high_precision("x_embedder", "image latents in"),
    octavo::high_precision("norm_out.linear_1", "modulation of the output"),
    octavo::high_precision("norm_out.linear_2", "the output"),
};
constexpr octavo::SignatureKey kSignature[] = {
    octavo::required_key("x_embedder.weight"),
    octavo::required_key("ref_image_patch_embedder.weight"),
    octavo::required_key("time_caption_embed.caption_embedder.1.weight"),
    octavo::required_key("norm_out.linear_1.weight"),
    octavo::required_key("norm_out.linear_2.weight"),
    octavo::each_block("double_stream_layers.{}.img_instruct_attn.processor.img_to_q.weight"),
    octavo::each_block("single_stream_layers.{}.attn.to_q.weight"),
};

class Boogu final : public octavo::PatternModel {
 public:
  Boogu(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns, kSignature}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(Boogu, {.id = "boogu",
                            .version = OCTAVO_PLUGIN_VERSION,
                            .summary = "Boogu: keeps inputs, output, time and captions",
                            .flags = OCTAVO_MODEL_AUTO})
