// The Hessian of a layer's output error and its factor.
//
// H = X^T X / n for inputs X, scaled to a mean diagonal of 1, with a channel that is never active given 1,
// plus damping on the diagonal. H = C C^T (Cholesky) = L D L^T with L = C diag(C)^-1 of unit diagonal and D =
// diag(C)^2: LDLQ needs L and, to measure, D (Chee et al., QuIP, arXiv 2307.13304). GPTQ's factor of the
// inverse gives the same codes in the opposite order of columns (arXiv 2507.18553) for four times the work.
//
// Of few samples, beside the columns, neither H nor L is formed: implicit_factor.hpp.
#pragma once

#include "feedback/settings.hpp"

#include <octavo/abi/tensor.h>
#include <octavo/lane.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace octavo::feedback {

// A matrix of floats that lives as long as it is held, on the host or on the device of the lane it was made
// on.
struct HeldMatrix {
  octavo_tensor view{};
  std::shared_ptr<void> memory = {};
};

struct Factor {
  HeldMatrix lower;                      // L, f32 [cols, cols]; of an implicit one the squares, [cols, group]
  HeldMatrix inputs = {};                // of an implicit one X, f32 or f16 [samples, cols]; else empty
  HeldMatrix gains = {};                 // likewise G
  std::vector<float> pivots = {};        // D
  std::vector<std::int64_t> order = {};  // column k of L is column order[k] of the layer; empty: as they are
  std::optional<HeldMatrix> hessian = {};  // H with its damping, in this order, for greedy passes (host)
  double damping = 0;                      // what it took
  std::string note = {};                   // what was out of the ordinary
};

// The matrix in the lane's memory: itself, or a copy where it lies elsewhere.
class OnLane {
 public:
  OnLane(octavo_lane& lane, const HeldMatrix& matrix);
  const octavo_tensor& view() const { return view_; }

 private:
  LaneMatrix copy_;
  octavo_tensor view_;
};

// Loads what the first factor on a device would wait for.
void load_linear_algebra(std::uint32_t memory, std::int32_t device);

// The damping that the rule gives for so many samples; not for search.
double damping_of(const Settings& settings, std::int64_t samples, std::int64_t cols);

// Columns that a lane rounds at a time where blocks are of so many, and those that take what is right of them
// from one product: a device is better served by more.
std::int64_t block_of(const octavo_lane& lane, std::int64_t block);
std::int64_t group_of(const octavo_lane& lane, std::int64_t block);

struct FactorWish {
  double damping = 0;
  bool by_activity = false;   // order of columns
  bool keep_hessian = false;  // for greedy passes
};

// Sums of x^T x, on the lane's device where LibTorch has it, else on the host.
class Hessian {
 public:
  Hessian(octavo_lane& lane, std::int64_t cols);
  ~Hessian();
  Hessian(Hessian&&) noexcept;
  // Another one with the same sums.
  Hessian copy(octavo_lane& lane) const;
  // x: f32 [samples, cols] in the lane's memory, which outlives this object.
  void add(octavo_lane& lane, const octavo_tensor& x);
  // The factor with this damping, or ten times as much as often as three times where it has none, or that of
  // f64. Nothing where all of that fails.
  std::optional<Factor> factor(octavo_lane& lane, const FactorWish& wish);
  // The same in the memory of the sums, which are then gone.
  std::optional<Factor> take_factor(octavo_lane& lane, const FactorWish& wish);

 private:
  struct Sums;
  enum class Use { copy, take };
  void sum(octavo_lane& lane, const octavo_tensor& x);
  void sum_again(octavo_lane& lane);
  std::optional<Factor> attempts(octavo_lane& lane, Use use, const FactorWish& wish);
  std::optional<Factor> attempt(const octavo_lane& lane, Use use, const FactorWish& wish, int number);

  std::unique_ptr<Sums> sums_;
  std::vector<octavo_tensor> added_;
};

// The same of few samples: nothing is summed, and its factors are implicit.
class ThinHessian {
 public:
  // x: f32 [samples, cols] in the lane's memory. `group`: columns of a factor's groups.
  ThinHessian(octavo_lane& lane, const octavo_tensor& x, std::int64_t group);
  // Of the first `samples` of x, as Hessian::factor has it; it cannot keep the Hessian.
  std::optional<Factor> factor(octavo_lane& lane, std::int64_t samples, const FactorWish& wish);

 private:
  std::optional<Factor> attempt(const octavo_lane& lane, std::int64_t samples, const FactorWish& wish,
                                int number);

  HeldMatrix inputs_;
  std::int64_t group_;
};

// A copy of rows in the lane's memory, with its columns in this order (empty: as they are), that outlives the
// lane's call.
HeldMatrix hold_rows(octavo_lane& lane, const octavo_tensor& rows, const std::vector<std::int64_t>& order);

// What feedback with this factor leaves of nearest's expected error on other samples x (f32 [n, cols], the
// lane's memory): ||x L^-T||^2 / ||x||^2, every code's rounding error being uniform and independent. Below 1
// is better.
double expected_share(octavo_lane& lane, const Factor& factor, const octavo_tensor& x);

}  // namespace octavo::feedback
