// wan: Wan 2.1 and 2.2 video: keeps embeddings, norms, the head and every conditioning input.
#include "../lists/avoid.hpp"

#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kOwn[] = {
    octavo::high_precision("text_embedding", "text features in"),
    octavo::high_precision("time_embedding", "time in"),
    octavo::high_precision("audio_model.text_embedding", "text features in"),
    octavo::high_precision("casual_audio_encoder", "audio encoder"),
    octavo::high_precision("frame_packer", "past frames in"),
    octavo::high_precision("trainable_cond_mask", "condition mask"),
    octavo::high_precision("cond_encoder", "pose condition in"),
    octavo::high_precision("audio_model.time_embedding", "time in"),
    octavo::high_precision("time_projection", "modulation that all blocks share"),
    octavo::high_precision("video_model.time_projection", "modulation that all blocks share"),
    octavo::high_precision("head.head", "the output"),
    octavo::high_precision("face_encoder.out_proj", "face encoder"),
    octavo::high_precision("face_adapter", "face condition in"),
    octavo::high_precision("audio_injector", "audio condition in"),
};
constexpr auto kPatterns = octavo::join(octavo::lists::kAvoid, kOwn);
constexpr octavo::SignatureKey kSignature[] = {
    octavo::required_key("head.head.weight"),
    octavo::required_key("head.modulation"),
    octavo::required_key("patch_embedding.weight"),
    octavo::required_key("text_embedding.0.weight"),
    octavo::required_key("time_projection.1.weight"),
    octavo::each_block("blocks.{}.self_attn.q.weight"),
    octavo::each_block("blocks.{}.cross_attn.o.weight"),
    octavo::each_block("blocks.{}.ffn.0.weight"),
};

// The norms before self-attention and the feed-forward have no weights; norm3 has, and only the queries of
// cross-attention read it. (Its output layer also reads the values of an image.)
constexpr octavo::Fold kFolds[] = {
    {"blocks.{}.cross_attn.q", "blocks.{}.norm3.weight"},
    {"blocks.{}.self_attn.o", "blocks.{}.self_attn.v.weight"},
};

class Wan final : public octavo::PatternModel {
 public:
  Wan(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns, kSignature, {}, {}, kFolds}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(
    Wan, {.id = "wan",
          .version = OCTAVO_PLUGIN_VERSION,
          .summary = "Wan 2.1 and 2.2 video: keeps embeddings, norms, the head and every conditioning input",
          .flags = OCTAVO_MODEL_AUTO})
