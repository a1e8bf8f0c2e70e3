// What the projected descent is made of: batches of steps, proposed, thinned and taken.
#pragma once

#include <cstdint>
#include <memory>

namespace octavo::descent {

struct SquaredNorms {
  double projected;  // |P|^2
  double error;      // |E|^2
};

// What the batch that is being tried does.
struct Change {
  double linear = 0;     // of f, to first order
  double error = 0;      // of |E|^2
  double projected = 0;  // |P|^2 after it
  std::int64_t steps = 0;
};

class StepEngine {
 public:
  virtual ~StepEngine() = default;

  // From the codes alone.
  virtual SquaredNorms measure() = 0;
  // Moves the weights, and tries a share of the steps that lower f by themselves. `projected`: |P|^2 now.
  virtual Change propose(std::int64_t iteration, double rate, double share, double projected) = 0;
  // Tries a share of what was tried, less than before.
  virtual Change thin(std::int64_t iteration, double share) = 0;
  virtual void accept() = 0;
};

}  // namespace octavo::descent
