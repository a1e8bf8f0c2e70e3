// The published list that zimage and zimage_refiner begin with: norms, biases and padding tokens.
#pragma once

#include <octavo/model_patterns.hpp>

namespace octavo::lists {

inline constexpr octavo::NamePattern kZimageNorms[] = {
    octavo::keep("cap_embedder.0", "a normalisation of the caption"),
    octavo::keep("cap_pad_token", "a padding token"),
    octavo::keep("attention_norm1", "a normalisation"),
    octavo::keep("attention_norm2", "a normalisation"),
    octavo::keep("ffn_norm1", "a normalisation"),
    octavo::keep("ffn_norm2", "a normalisation"),
    octavo::keep("k_norm", "a normalisation"),
    octavo::keep("q_norm", "a normalisation"),
    octavo::keep("x_pad_token", "a padding token"),
    octavo::keep("norm", "a normalisation"),
    octavo::keep("bias", "a bias"),
};

}  // namespace octavo::lists
