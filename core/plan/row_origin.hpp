// Where the rows of a weight come from: read as they are, dequantized from what a format stored, with LoRA
// updates merged into them.
#pragma once

#include "calibration/calibration.hpp"
#include "checkpoint/reader.hpp"
#include "lora/merge_plan.hpp"
#include "report/survey.hpp"

#include <cstdint>
#include <vector>

namespace octavo::plan {

// Refers to the checkpoint, the survey and the merge plan, which outlive it.
struct RowOrigin {
  const checkpoint::TensorRef* tensor = nullptr;     // the weight, or its codes
  const report::StoredLayer* stored = nullptr;       // nullptr: plain values
  const std::vector<lora::Delta>* deltas = nullptr;  // nullptr: nothing is merged

  // The tensor's bytes are the rows. If not, the rows are made, and are f32.
  bool is_plain() const { return stored == nullptr && deltas == nullptr; }
  // Some update is no product of two matrices: the rows are made on the host.
  bool needs_host() const;
};

// Bytes of memory, beside the f32 rows themselves, that a lane needs to make `rows` rows; every part is
// aligned to 64 bytes. 0 for a plain origin.
uint64_t staging_bytes(const RowOrigin& origin, int64_t rows);

// What was found in the source beside plain weights, what is to be merged into it, and what is known about
// the inputs of its layers. Null members: nothing.
struct SourceChanges {
  const report::Survey* stored = nullptr;
  const lora::MergePlan* merges = nullptr;
  const calibration::Calibration* calibration = nullptr;
};

}  // namespace octavo::plan
