// What reports that go through layers band by band share: where the values of a layer come from, and the
// threads' lanes.
#pragma once

#include "report/compare.hpp"
#include "stored/band_source.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace octavo::report {

// The layer of this name, or else the weight of rank 2 that has it as base name or key; nullptr if the side
// has neither.
inline std::unique_ptr<stored::BandSource> source_of(const Side& side, const std::string& name) {
  if (const stored::Layer* layer = side.survey.find(name))
    return std::make_unique<stored::BandSource>(side.file, *layer);
  const checkpoint::TensorRef* weight = side.file.find(name + ".weight");
  if (weight == nullptr) weight = side.file.find(name);
  if (weight == nullptr || weight->info.shape.size() != 2) return nullptr;
  return std::make_unique<stored::BandSource>(side.file, *weight);
}

// Lanes and what works in them, each opened by the thread that uses it. A Worker is made from a BandLane.
template <typename Worker>
class Workers {
 public:
  explicit Workers(const CompareOptions& options)
      : options_(options), workers_(std::max(1u, options.lanes)) {}

  unsigned count() const { return static_cast<unsigned>(workers_.size()); }
  Worker& at(unsigned index) {
    if (workers_[index] == nullptr)
      workers_[index] = std::make_unique<Worker>(options_.open_lane(index, count()));
    return *workers_[index];
  }

 private:
  const CompareOptions& options_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace octavo::report
