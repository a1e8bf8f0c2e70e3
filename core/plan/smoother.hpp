// Finds the places for SmoothQuant's factors, from headers alone.
#pragma once

#include "calibration/calibration.hpp"
#include "checkpoint/reader.hpp"
#include "lora/merge_plan.hpp"
#include "plan/plan.hpp"
#include "plan/rules.hpp"
#include "plan/smoothing.hpp"
#include "plan/stored_sources.hpp"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace octavo::plan {

// Why a layer is not smoothed where knows_channel_max says no.
inline constexpr const char* kNoMaxima = "nothing is known about the largest values of its inputs' channels";

// What the planner knows and the smoother asks for.
struct SmoothingContext {
  const checkpoint::Checkpoint& source;
  const StoredSources& stored;
  const Rules& rules;
  const lora::MergePlan* merges = nullptr;
  const calibration::Calibration& calibration;
  std::function<Verdict(size_t index)> decide;  // of the planner, by the tensor's place in the source
};

// Groups are formed once, before the first tensor is planned, because a producer and what reads it may be
// planned in any order.
class Smoother {
 public:
  explicit Smoother(const SmoothingContext& context);

  // What multiplies the columns of this weight, and what divides the rows of this weight or bias, because of
  // a fold. nullptr: nothing.
  const SmoothFactors* columns_of(const checkpoint::TensorRef& tensor) const;
  const SmoothFactors* rows_of(const checkpoint::TensorRef& tensor) const;

  // Where the inverse is folded: "the weight's key" of a layer that is smoothed, else "".
  std::string target_of(const checkpoint::TensorRef& weight) const;
  // Why a layer is not folded into anything.
  std::string why_not(const checkpoint::TensorRef& weight) const;

  // A group of this one layer, whose factors are stored with it; nullptr where its channels' maxima are not
  // known.
  Smoothing* store_with(const checkpoint::TensorRef& weight, const SmoothedReader& reader, int64_t channels);
  // The layer is quantized on this grid, which lives as long as the plan.
  void set_grid(const checkpoint::TensorRef& weight, const octavo_grid& grid);

  // Groups in the order of their targets, without those of which no layer is quantized.
  std::vector<std::unique_ptr<Smoothing>> take();

 private:
  struct Candidate {
    std::vector<size_t> readers;  // indexes in the source
    std::string refusal;          // why nothing is folded; "" if it is
  };
  void collect();
  void form(const std::string& target, Candidate& candidate);
  std::string unfit_target(const std::string& target, int64_t channels) const;
  std::string unfit_reader(size_t index, int64_t channels) const;
  bool is_scalable(const checkpoint::TensorRef& tensor) const;
  RowOrigin origin_of(const checkpoint::TensorRef& tensor) const;

  SmoothingContext context_;
  std::map<std::string, Candidate, std::less<>> candidates_;
  std::map<const checkpoint::TensorRef*, std::string> targets_;  // of readers, where one is named
  std::vector<std::unique_ptr<Smoothing>> groups_;
  std::map<const checkpoint::TensorRef*, Smoothing*> columns_;
  std::map<const checkpoint::TensorRef*, Smoothing*> rows_;
};

// The largest magnitude of each channel of a layer's inputs is known: stated, or from recorded rows.
bool knows_channel_max(const calibration::InputGroup* inputs);

// One sentence for each reason why layers are not smoothed. Throws Error unsupported with all of them if none
// is smoothed.
std::vector<std::string> smoothing_refusals(const std::vector<PlannedTensor>& tensors);

}  // namespace octavo::plan
