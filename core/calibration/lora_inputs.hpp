// What a LoRA says about the inputs of the layers that it changes, for want of recorded ones.
//
// A LoRA's down matrix reads directions of a layer's input: those that its training found worth reading.
// Taken as inputs its rows weigh these directions more than others. That is a guess about what matters, not a
// measurement of what happens: it says nothing about outliers, magnitudes or means.
#pragma once

#include "checkpoint/reader.hpp"
#include "lora/adapter.hpp"
#include "lora/merge_plan.hpp"

#include <map>
#include <string>
#include <vector>

namespace octavo::calibration {

struct LoraInputs {
  // Layer, as the checkpoint names it, to rows [ranks of all its updates, cols], f32.
  std::map<std::string, lora::Matrix> layers;
  // Updates that have no down matrix (LoHa, LoKr, whole differences), or whose rows are zero: tensors, by
  // name.
  std::vector<std::string> left_out;
};

// The rows of the down matrices of all updates of a 2-D weight, each row scaled to a root mean square of 1,
// in the order of the merges. Updates of different rows of a fused weight (query, key, value) read the same
// input.
LoraInputs inputs_from_loras(const lora::MergePlan& merges, const checkpoint::Checkpoint& source);

}  // namespace octavo::calibration
