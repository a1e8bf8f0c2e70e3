// Signed means of layers' inputs, for bias corrections.
#pragma once

#include "calibration/calibration.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace octavo::run {

// Thread safe. Refers to the calibration.
class InputMeans {
 public:
  explicit InputMeans(const calibration::Calibration& calibration) : calibration_(calibration) {}

  // f32 [cols]: of the file, else of the kept rows, which are read once. Throws as reading does.
  const std::vector<float>& of(const calibration::InputGroup& group);
  // Takes over what somebody has read already.
  void keep(const calibration::InputGroup& group, const std::vector<float>& mean);

 private:
  struct Mean {
    std::once_flag made;
    std::vector<float> values;
  };
  Mean& entry(const calibration::InputGroup& group);

  const calibration::Calibration& calibration_;
  std::mutex mutex_;
  std::map<const calibration::InputGroup*, std::unique_ptr<Mean>> means_;
};

}  // namespace octavo::run
