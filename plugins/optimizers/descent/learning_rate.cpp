#include "learning_rate.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace octavo::descent {
namespace {

constexpr double kHighestRate = 100;

struct ImproveTier {
  std::int64_t from;  // length of the stall that ended
  double factor;
};
constexpr std::array kImproveTiers = {
    ImproveTier{0, 1.25},   ImproveTier{50, 1.375}, ImproveTier{75, 1.5},
    ImproveTier{100, 1.75}, ImproveTier{125, 2.0},  ImproveTier{150, 2.25},
    ImproveTier{200, 2.5},  ImproveTier{250, 2.75}, ImproveTier{300, 3.0},
};

struct DecayTier {
  std::int64_t from;  // iterations since the last improvement
  double factor;
  double least;
};
constexpr std::array kDecayTiers = {
    DecayTier{0, 0.95, 9e-8},      DecayTier{26, 0.97, 8e-8},     DecayTier{51, 0.985, 7e-8},
    DecayTier{76, 0.9875, 6e-8},   DecayTier{101, 0.98875, 5e-8}, DecayTier{151, 0.99, 4e-8},
    DecayTier{201, 0.99125, 3e-8}, DecayTier{251, 0.9925, 2e-8},  DecayTier{301, 0.995, 5e-9},
};

template <typename Tiers>
const auto& tier_of(const Tiers& tiers, std::int64_t count) {
  const auto after =
      std::find_if(tiers.begin() + 1, tiers.end(), [count](const auto& tier) { return tier.from > count; });
  return *(after - 1);
}

// A cut is as deep as `factor` for a square layer and as factor^sqrt(aspect ratio) with full influence.
double cut_for(const LearningRateSettings& settings, std::int64_t rows, std::int64_t cols) {
  const double aspect = static_cast<double>(std::max(rows, cols)) / static_cast<double>(std::min(rows, cols));
  const double shaped = std::pow(settings.factor, std::sqrt(aspect));
  return settings.factor + (shaped - settings.factor) * settings.shape_influence;
}

}  // namespace

LearningRate::LearningRate(const LearningRateSettings& settings, std::int64_t rows, std::int64_t cols)
    : settings_(settings), cut_(cut_for(settings, rows, cols)), rate_(settings.start) {}

bool LearningRate::improves(double loss) const {
  if (settings_.threshold <= 0) return loss < best_;
  if (settings_.threshold_mode == ThresholdMode::absolute) return best_ - loss > settings_.threshold;
  return loss < best_ * (1 - settings_.threshold);
}

bool LearningRate::observe(double loss) {
  const bool improved = improves(loss);
  const std::int64_t stall = worse_;
  if (improved) {
    best_ = loss;
    worse_ = plateau_ = 0;
  } else {
    ++worse_;
    ++plateau_;
  }
  switch (settings_.schedule) {
    case Schedule::adaptive:
      follow_adaptive(improved, stall);
      break;
    case Schedule::exponential:
      follow_exponential();
      break;
    case Schedule::plateau:
      follow_plateau();
      break;
  }
  return improved;
}

void LearningRate::follow_exponential() { rate_ = std::max(rate_ * settings_.gamma, settings_.least); }

void LearningRate::follow_plateau() {
  if (cooldown_ > 0) {
    --cooldown_;
    return;
  }
  if (plateau_ < settings_.patience) return;
  if (rate_ > settings_.least) {
    rate_ = std::max(rate_ * cut_, settings_.least);
    cooldown_ = settings_.cooldown;
  }
  plateau_ = 0;
}

void LearningRate::follow_adaptive(bool improved, std::int64_t stall) {
  if (improved) {
    const std::int64_t count = settings_.adaptive_mode == AdaptiveMode::no_reset ? stall : 0;
    rate_ = std::min(rate_ * tier_of(kImproveTiers, count).factor, kHighestRate);
    return;
  }
  const DecayTier& tier = tier_of(kDecayTiers, worse_);
  rate_ = std::max({rate_ * tier.factor, tier.least, settings_.least});
}

Stop LearningRate::stop() const {
  if (best_ <= settings_.stop_loss) return Stop::loss;
  if (rate_ <= settings_.stop_rate) return Stop::rate;
  if (worse_ > settings_.stop_stall) return Stop::stall;
  return Stop::none;
}

const char* text_of(Stop stop) {
  switch (stop) {
    case Stop::loss:
      return "the loss is low enough";
    case Stop::rate:
      return "the learning rate is too low to go on";
    case Stop::stall:
      return "there was no improvement for too long";
    default:
      return "all iterations were used";
  }
}

}  // namespace octavo::descent
