// Merging a low-rank update (LoRA).
#pragma once

#include "launch.hpp"
#include "view.hpp"

namespace octavo::cuda {

// target = f32(source) + strength x (up down); the products of each element are added in the order of the
// rank, unfused. up f32 [rows, rank], down f32 [rank, cols], target f32. The target may be the source.
void merge_low_rank(const Launch& launch, const View& source, const View& up, const View& down,
                    float strength, const View& target);

}  // namespace octavo::cuda
