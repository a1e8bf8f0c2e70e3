// Who makes the factors of a group of inputs: whole ones, or implicit ones where the samples are few.
#pragma once

#include "feedback/factor.hpp"
#include "feedback/samples.hpp"
#include "feedback/settings.hpp"

#include <cstdint>
#include <memory>
#include <optional>

namespace octavo::feedback {

class FactorMaker {
 public:
  virtual ~FactorMaker() = default;
  // Whether it still reads the samples that are fitted to.
  virtual bool needs_samples() const = 0;
  // Of the samples that are fitted to: again and again, ...
  virtual std::optional<Factor> try_fitting(octavo_lane& lane, const FactorWish& wish) = 0;
  // ... for the last time, ...
  virtual std::optional<Factor> fitting(octavo_lane& lane, const FactorWish& wish) = 0;
  // ... and at the end of all samples.
  virtual std::optional<Factor> all(octavo_lane& lane, const FactorWish& wish) = 0;
};

// Bytes that the factors take: while they are made, with the samples, while layers are judged, and
// afterwards.
struct FactorBytes {
  std::uint64_t making, judging, afterwards;
};

// Greedy passes are to come, which want the Hessian itself (on the host alone).
bool keeps_hessian(const octavo_lane& lane, const Settings& settings);

FactorBytes factor_bytes(const octavo_lane& lane, const Settings& settings, std::int64_t samples,
                         std::int64_t cols);

// `samples` outlive it, those that are fitted to only where it needs_samples().
std::unique_ptr<FactorMaker> factor_maker(octavo_lane& lane, const Samples& samples,
                                          const Settings& settings);

}  // namespace octavo::feedback
