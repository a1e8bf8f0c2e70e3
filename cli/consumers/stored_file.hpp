// What the programs that load checkpoints see in one: which layers are marked as quantized and how, and the
// dtypes of everything. Read from the file alone, so that it also holds for formats that octavo has no plugin
// for; or from the plan of a file.
#pragma once

#include "checkpoint/reader.hpp"
#include "plan/plan.hpp"

#include <octavo/abi/tensor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace octavo::cli {

// A layer's marker, or its entry in `_quantization_metadata`.
struct MarkerForm {
  bool readable = true;     // JSON of exact length, an object, with values of the right types
  std::string format = {};  // "" where it is missing
  bool full_precision = false;
  bool convrot = false;
  int64_t convrot_group = 0;  // 0 where it is not said
};

struct ScaleForm {
  octavo_dtype dtype = OCTAVO_F32;
  std::vector<uint64_t> shape = {};
};

// A quantized layer. `weight_shape` is empty if the weight is missing.
struct LayerForm {
  std::string name;                         // base name as in the file
  std::optional<MarkerForm> marker = {};    // `.comfy_quant`
  std::optional<MarkerForm> metadata = {};  // entry of the header
  octavo_dtype weight_dtype = OCTAVO_I8;
  std::vector<uint64_t> weight_shape = {};
  std::optional<ScaleForm> scale = {};  // `.weight_scale`
};

struct TensorForm {
  std::string name;
  octavo_dtype dtype = OCTAVO_F32;
  size_t rank = 0;
};

struct StoredFile {
  std::vector<LayerForm> layers = {};    // by name
  std::vector<TensorForm> tensors = {};  // all of the file
  size_t files = 1;
  bool metadata_readable = true;  // false: `_quantization_metadata` is there and is not what loaders expect
};

// Layers are the ones that a marker, the metadata or an I8 weight of two or more dimensions makes.
// Throws Error io or bad_input if a marker cannot be read.
StoredFile read_stored_file(const checkpoint::Checkpoint& file);

// The same of an output before it is written, in one file. `source`: the checkpoint that the plan was made
// for, whose markers of kept layers are read.
StoredFile planned_file(const plan::Plan& plan, const checkpoint::Checkpoint& source);

}  // namespace octavo::cli
