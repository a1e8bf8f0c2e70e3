// Where the rows of a weight come from: read as they are, dequantized from what a format stored, with LoRA
// updates merged into them, with columns and rows scaled by SmoothQuant.
#pragma once

#include "calibration/calibration.hpp"
#include "checkpoint/reader.hpp"
#include "lora/merge_plan.hpp"
#include "stored/survey.hpp"

#include <cstdint>
#include <vector>

namespace octavo::plan {

// SmoothQuant's s for the channels between a producer (a norm, a linear) and the layers that read its output:
// the columns of these are multiplied by s, and the producer's rows are divided by it. f32 [channels]; empty
// until they are found (smoothing/find_factors.hpp), which counts as 1 everywhere.
struct SmoothFactors {
  std::vector<float> values = {};

  float at(int64_t channel) const { return values.empty() ? 1.0F : values[static_cast<size_t>(channel)]; }
};

// Refers to the checkpoint, the survey, the merge plan and the factors, which outlive it.
struct RowOrigin {
  const checkpoint::TensorRef* tensor = nullptr;     // the weight, or its codes
  const stored::Layer* stored = nullptr;             // nullptr: plain values
  const std::vector<lora::Delta>* deltas = nullptr;  // nullptr: nothing is merged
  const SmoothFactors* columns = nullptr;            // multiply the columns, after the updates; nullptr: 1
  const SmoothFactors* rows = nullptr;               // divide the rows, after the updates; nullptr: 1

  // Of a weight: a layer that a format stored, or a matrix.
  int64_t row_count() const {
    return stored != nullptr ? stored->rows : static_cast<int64_t>(tensor->info.shape[0]);
  }
  bool is_scaled() const { return columns != nullptr || rows != nullptr; }
  // The tensor's bytes are the rows. If not, the rows are made, and are f32.
  bool is_plain() const { return stored == nullptr && deltas == nullptr && !is_scaled(); }
  // Something has to be done that no operation of a backend does (an update that is no product of two
  // matrices, factors of columns and rows): the rows are made on the host.
  bool needs_host() const;
};

// Bytes of memory, beside the f32 rows themselves, that a lane needs to make `rows` rows; every part is
// aligned to 64 bytes. 0 for a plain origin.
uint64_t staging_bytes(const RowOrigin& origin, int64_t rows);

// What was found in the source beside plain weights, what is to be merged into it, and what is known about
// the inputs of its layers. Null members: nothing.
struct SourceChanges {
  const stored::Survey* stored = nullptr;
  const lora::MergePlan* merges = nullptr;
  const calibration::Calibration* calibration = nullptr;
};

}  // namespace octavo::plan
