// Signed means of layers' inputs, for bias corrections.
#pragma once

#include "calibration/calibration.hpp"
#include "plan/plan.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace octavo::run {

// Thread safe. Refers to the calibration.
class InputMeans {
 public:
  explicit InputMeans(const calibration::Calibration& calibration) : calibration_(calibration) {}

  // f32 [cols] of what the layer is given, which knows its inputs: of the file, else of the kept rows, which
  // are read once; divided by the layer's smooth factors. Throws as reading does.
  std::vector<float> of(const plan::PlannedLayer& layer);
  // Takes over what somebody has read already: the mean of the group's inputs, not divided.
  void keep(const calibration::InputGroup& group, const std::vector<float>& mean);

 private:
  struct Mean {
    std::once_flag made;
    std::vector<float> values;
  };
  const std::vector<float>& recorded(const calibration::InputGroup& group);
  Mean& entry(const calibration::InputGroup& group);

  const calibration::Calibration& calibration_;
  std::mutex mutex_;
  std::map<const calibration::InputGroup*, std::unique_ptr<Mean>> means_;
};

}  // namespace octavo::run
