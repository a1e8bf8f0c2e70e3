#include "run/input_means.hpp"

#include "calibration/samples.hpp"

namespace octavo::run {

InputMeans::Mean& InputMeans::entry(const calibration::InputGroup& group) {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<Mean>& mean = means_[&group];
  if (!mean) mean = std::make_unique<Mean>();
  return *mean;
}

std::vector<float> InputMeans::of(const plan::PlannedLayer& layer) {
  std::vector<float> mean = recorded(*layer.inputs);
  if (layer.origin.columns == nullptr) return mean;
  for (size_t c = 0; c < mean.size(); ++c) mean[c] /= layer.origin.columns->at(static_cast<int64_t>(c));
  return mean;
}

const std::vector<float>& InputMeans::recorded(const calibration::InputGroup& group) {
  if (!group.contents.mean.empty()) return group.contents.mean;
  Mean& mean = entry(group);
  std::call_once(mean.made, [&] { mean.values = calibration::Samples(calibration_, group).mean(); });
  return mean.values;
}

void InputMeans::keep(const calibration::InputGroup& group, const std::vector<float>& mean) {
  if (mean.empty() || !group.contents.mean.empty()) return;
  Mean& kept = entry(group);
  std::call_once(kept.made, [&] { kept.values = mean; });
}

}  // namespace octavo::run
