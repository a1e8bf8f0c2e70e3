// The plan: every decision about every tensor and the exact layout of the output, made from headers alone.
#pragma once

#include "base/error.hpp"
#include "calibration/calibration.hpp"
#include "checkpoint/layout.hpp"
#include "checkpoint/reader.hpp"
#include "plan/opened_treatments.hpp"
#include "plan/row_origin.hpp"
#include "plan/rules.hpp"
#include "plan/settings.hpp"
#include "plan/smoothing.hpp"
#include "plugin/catalog.hpp"
#include "plugin/format.hpp"
#include "plugin/optimizer.hpp"

#include <octavo/abi/grid.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace octavo::plan {

// What --smoothquant came to for a layer: one of the two says something.
struct SmoothingDecision {
  std::string target;   // where the inverse of its factors goes: a key of the output
  std::string refusal;  // why it is not smoothed
};

// A tensor of the source, and what becomes of it. What `octavo plan` lists.
struct PlannedTensor {
  const checkpoint::TensorRef* source = nullptr;
  Verdict verdict;
  std::string format;                               // as stored; "" unless quantized
  std::string optimizer;                            // "" unless quantized
  uint64_t bytes_out = 0;                           // of everything it becomes
  std::optional<SmoothingDecision> smoothing = {};  // nothing: not asked for, or not quantized
};

// One tensor that a quantized layer writes.
struct LayerOutput {
  octavo_role role;
  size_t output;  // index into Plan::outputs
};

// The bias of a layer, where it is corrected.
struct PlannedBias {
  RowOrigin origin;
  size_t output = 0;
};

// A layer to be quantized.
struct PlannedLayer {
  const checkpoint::TensorRef* source = nullptr;
  RowOrigin origin;      // of `source`; where it is not plain, layer.dtype is F32
  std::string name;      // base name
  octavo_layer layer{};  // points into this struct and the source; valid as long as the plan
  octavo_grid grid{};
  std::shared_ptr<plugin::Format> format;
  std::shared_ptr<plugin::Optimizer> optimizer;
  std::string stored_as;  // id of the format, or what it fell back to
  std::string optimizer_id;
  std::string format_spec;  // as asked for, with parameters: "id:name=value"
  std::string optimizer_spec;
  bool full_precision_matmul = false;  // its marker asks for it
  std::string note;    // what the format says of its grid: why it is not as usual, or as asked for
  uint32_t wants = 0;  // OCTAVO_WANTS_*
  const calibration::InputGroup* inputs = nullptr;  // nullptr: nothing is known about them
  Smoothing* stores_factors = nullptr;              // that are written beside its codes
  bool corrects_bias = false;                       // if it has one
  std::optional<PlannedBias> bias;                  // nothing: it is copied as it is
  std::vector<LayerOutput> outputs;
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
};

// A tensor that is copied byte by byte.
struct PlannedCopy {
  const checkpoint::TensorRef* source = nullptr;
  size_t output = 0;
};

// A tensor that keeps its dtype but not its values: a LoRA is merged into it, or SmoothQuant scales it.
struct PlannedMerge {
  RowOrigin origin;
  size_t output = 0;
  int64_t rows = 0;  // the first dimension
  int64_t cols = 0;  // all the others
};

// Bytes that are known now: markers.
struct PlannedConstant {
  size_t output = 0;
  octavo_role role = OCTAVO_ROLE_CONSTANT;
  std::string bytes;
};

// An activation scale that the rows of a layer's inputs decide: their largest magnitude in the grid's basis /
// 127.
struct PlannedActivationScale {
  size_t layer = 0;
  size_t output = 0;
  uint64_t elements = 1;
};

struct Plan {
  Settings settings;
  std::vector<PlannedTensor> tensors;  // in the order of the source: by name
  std::vector<std::unique_ptr<PlannedLayer>> layers;
  std::vector<PlannedCopy> copies;
  std::vector<PlannedMerge> merges;
  std::vector<PlannedConstant> constants;
  std::vector<PlannedActivationScale> activation_scales;
  std::vector<std::unique_ptr<Smoothing>> smoothings;  // by target, those that are folded before the others
  std::vector<checkpoint::OutputTensor> outputs;
  std::vector<std::string> groups;  // of outputs: what stays in one shard
  std::map<std::string, std::string> metadata;
  std::vector<std::string> model_reasons;
  std::vector<std::string> notes;     // what a person should know, one sentence each
  std::vector<std::string> warnings;  // what a person probably did not mean
  PlannedPlugin format;               // as asked for
  PlannedPlugin optimizer;
  uint64_t bytes_in = 0;        // of the source's tensors
  uint64_t bytes_out = 0;       // of the output's tensors
  bool size_exact = true;       // false: a decision needs the data
  bool keeps_integers = false;  // layers that are INT8 already, which --requantize would take as a source
};

// Layers that a measuring pass found unfit, by base name, with the reason: they stay as they are.
using Unfit = std::map<std::string, std::string, std::less<>>;

// Makes the plan, also one in which nothing is quantized. `unfit`: what a measuring pass found, nullptr if
// there was none yet. `changes` outlives the plan. Throws Error bad_input for an update of a layer that stays
// quantized as it is, and what rules and plugins throw.
Plan make_plan(const Settings& settings, const checkpoint::Checkpoint& source, plugin::Catalog& catalog,
               const octavo_host* host, const Unfit* unfit = nullptr, const SourceChanges& changes = {});

// The Error unsupported of a plan that quantizes nothing, with the rules that kept how many tensors; nothing
// for any other plan.
std::optional<Error> refusal_of(const Plan& plan);

}  // namespace octavo::plan
