// The published list that t5xxl, mistral and wan begin with: tables, norms, biases and conditioning inputs.
#pragma once

#include <octavo/model_patterns.hpp>

namespace octavo::lists {

inline constexpr octavo::NamePattern kAvoid[] = {
    octavo::keep("norm", "a normalisation"),
    octavo::keep("bias", "a bias, or a bias table"),
    octavo::keep("embed_tokens", "a token table"),
    octavo::keep("lm_head", "an output head"),
    octavo::keep("shared", "T5's token table"),
    octavo::keep("patch_embedding", "patches in"),
    octavo::keep("audio_model.patch_embedding", "audio patches in"),
    octavo::keep("ref_conv", "reference image in"),
    octavo::keep("control_adapter", "camera control in"),
    octavo::keep("motion_encoder.enc.net_app", "appearance encoder"),
    octavo::keep("face_encoder.conv", "face encoder"),
    octavo::keep("pose_patch_embedding", "pose patches in"),
    octavo::keep("motion_encoder.enc.fc", "motion encoder"),
    octavo::keep("img_emb.proj", "image embedding"),
    octavo::keep("k_norm", "a normalisation"),
    octavo::keep("q_norm", "a normalisation"),
    octavo::keep("motion_encoder.dec", "motion decoder"),
    octavo::keep("head.modulation", "the head's modulation"),
    octavo::keep("casual_audio_encoder", "audio encoder"),
    octavo::keep("cond_encoder", "pose condition in"),
    octavo::keep("frame_packer", "past frames in"),
    octavo::keep("norm_k", "a normalisation"),
    octavo::keep("norm_q", "a normalisation"),
    octavo::keep("tekken_model", "the tokenizer"),
    octavo::keep("multi_modal_projector", "images into the text network"),
    octavo::keep("patch_conv", "image patches in"),
    octavo::keep("ln_pre", "a normalisation"),
    octavo::keep("input_layernorm", "a normalisation"),
    octavo::keep("attention_norm", "a normalisation"),
    octavo::keep("post_attention_layernorm", "a normalisation"),
};

}  // namespace octavo::lists
