// ltxv2: LTX-2 audio and video: keeps modulation, inputs, outputs, four blocks, VAE and vocoder.
#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kPatterns[] = {
    octavo::high_precision("scale_shift_table", "modulation"),
    octavo::high_precision("text_embedding_projection", "text features in"),
    octavo::high_precision("audio_vae", "the audio VAE"),
    octavo::high_precision("audio_embeddings_connector", "text features in"),
    octavo::high_precision("adaln_single", "modulation that all blocks share"),
    octavo::high_precision("audio_adaln_single", "modulation that all blocks share"),
    octavo::high_precision("audio_patchify_proj", "audio latents in"),
    octavo::high_precision("audio_proj_out", "the audio output"),
    octavo::high_precision("audio_prompt_adaln_single", "modulation of the prompt"),
    octavo::high_precision("av_ca_a2v_gate_adaln_single", "modulation between audio and video"),
    octavo::high_precision("av_ca_audio_scale_shift_adaln_single", "modulation between audio and video"),
    octavo::high_precision("av_ca_v2a_gate_adaln_single", "modulation between audio and video"),
    octavo::high_precision("av_ca_video_scale_shift_adaln_single", "modulation between audio and video"),
    octavo::high_precision("patchify_proj", "video latents in"),
    octavo::high_precision("proj_out", "the output"),
    octavo::high_precision("prompt_adaln_single", "modulation of the prompt"),
    octavo::high_precision("transformer_blocks.0.", "the first block"),
    octavo::high_precision("transformer_blocks.1.", "the second block"),
    octavo::high_precision("transformer_blocks.46.", "the last but one of 48 blocks"),
    octavo::high_precision("transformer_blocks.47.", "the last of 48 blocks"),
    octavo::high_precision("video_embeddings_connector", "text features in"),
    octavo::high_precision("vae.decoder", "the video VAE"),
    octavo::high_precision("vae.encoder", "the video VAE"),
    octavo::high_precision("vocoder", "the vocoder"),
    octavo::high_precision("to_gate_logits", "gates of the attention"),
};
constexpr octavo::SignatureKey kSignature[] = {
    octavo::required_key("patchify_proj.weight"),
    octavo::required_key("audio_patchify_proj.weight"),
    octavo::required_key("adaln_single.linear.weight"),
    octavo::required_key("audio_adaln_single.linear.weight"),
    octavo::required_key("proj_out.weight"),
    octavo::required_key("audio_proj_out.weight"),
    octavo::each_block("transformer_blocks.{}.attn1.to_q.weight"),
    octavo::each_block("transformer_blocks.{}.audio_attn1.to_q.weight"),
};

class Ltxv2 final : public octavo::PatternModel {
 public:
  Ltxv2(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns, kSignature}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(
    Ltxv2,
    {.id = "ltxv2",
     .version = OCTAVO_PLUGIN_VERSION,
     .summary = "LTX-2 audio and video: keeps modulation, inputs, outputs, four blocks, VAE and vocoder",
     .flags = OCTAVO_MODEL_AUTO})
