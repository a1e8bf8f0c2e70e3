#include "descent/learning_rate.hpp"

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <vector>

namespace octavo::descent {
namespace {

namespace tt = boost::test_tools;

LearningRateSettings starting_at(double rate, Schedule schedule) {
  LearningRateSettings settings;
  settings.schedule = schedule;
  settings.start = rate;
  return settings;
}

// A loss that improves on everything before it.
class Falling {
 public:
  double next() { return loss_ *= 0.999; }

 private:
  double loss_ = 1;
};

void stall(LearningRate& rate, int iterations) {
  for (int i = 0; i < iterations; ++i) rate.observe(2);
}

BOOST_AUTO_TEST_SUITE(learning_rate)

BOOST_AUTO_TEST_CASE(exponential_falls_by_gamma_to_its_least) {
  LearningRateSettings settings = starting_at(1, Schedule::exponential);
  settings.gamma = 0.5;
  settings.least = 0.2;
  LearningRate rate(settings, 8, 8);
  for (const double expected : {0.5, 0.25, 0.2, 0.2}) {
    rate.observe(0.5);  // improving or not
    BOOST_TEST(rate.rate() == expected);
  }
}

BOOST_AUTO_TEST_CASE(plateau_cuts_after_patience_and_then_rests) {
  LearningRateSettings settings = starting_at(1, Schedule::plateau);
  settings.factor = 0.5;
  settings.patience = 2;
  settings.cooldown = 3;
  LearningRate rate(settings, 8, 8);
  // Iterations 1 and 2 fill the patience, 3 to 5 are the cooldown, in which failures count on; so 6 cuts
  // again.
  for (const double expected : {1.0, 0.5, 0.5, 0.5, 0.5, 0.25}) {
    rate.observe(2);
    BOOST_TEST(rate.rate() == expected);
  }
}

BOOST_AUTO_TEST_CASE(plateau_begins_anew_with_an_improvement) {
  LearningRateSettings settings = starting_at(1, Schedule::plateau);
  settings.factor = 0.5;
  settings.patience = 2;
  settings.cooldown = 0;
  LearningRate rate(settings, 8, 8);
  rate.observe(2);
  BOOST_TEST(rate.observe(0.9));
  rate.observe(2);
  BOOST_TEST(rate.rate() == 1);
  rate.observe(2);
  BOOST_TEST(rate.rate() == 0.5);
}

BOOST_AUTO_TEST_CASE(plateau_stays_at_its_least) {
  LearningRateSettings settings = starting_at(1, Schedule::plateau);
  settings.factor = 0.5;
  settings.patience = 1;
  settings.cooldown = 0;
  settings.least = 0.3;
  LearningRate rate(settings, 8, 8);
  for (const double expected : {0.5, 0.3, 0.3}) {
    rate.observe(2);
    BOOST_TEST(rate.rate() == expected);
  }
}

BOOST_AUTO_TEST_CASE(cuts_are_deeper_for_oblong_layers) {
  LearningRateSettings settings = starting_at(1, Schedule::plateau);
  settings.factor = 0.5;
  settings.patience = 1;
  const auto cut = [&](double influence, std::int64_t rows, std::int64_t cols) {
    settings.shape_influence = influence;
    LearningRate rate(settings, rows, cols);
    rate.observe(2);
    return rate.rate();
  };
  BOOST_TEST(cut(1, 8, 8) == 0.5);
  BOOST_TEST(cut(1, 8, 32) == 0.25);  // 0.5^sqrt(4)
  BOOST_TEST(cut(1, 32, 8) == 0.25);
  BOOST_TEST(cut(0, 8, 32) == 0.5);
  BOOST_TEST(cut(0.5, 8, 32) == 0.375);
}

BOOST_AUTO_TEST_CASE(adaptive_rises_by_a_quarter_up_to_a_hundred) {
  LearningRate rate(starting_at(60, Schedule::adaptive), 8, 8);
  Falling loss;
  for (const double expected : {75.0, 93.75, 100.0, 100.0}) {
    BOOST_TEST(rate.observe(loss.next()));
    BOOST_TEST(rate.rate() == expected);
  }
}

// convert_to_quant's table: from so many iterations without improvement on, the rate falls by this factor.
BOOST_AUTO_TEST_CASE(adaptive_decays_slower_the_longer_it_stalls) {
  LearningRate rate(starting_at(1, Schedule::adaptive), 8, 8);
  double expected = 1;
  for (int worse = 1; worse <= 320; ++worse) {
    double factor = 0.95;
    if (worse >= 26) factor = 0.97;
    if (worse >= 51) factor = 0.985;
    if (worse >= 76) factor = 0.9875;
    if (worse >= 101) factor = 0.98875;
    if (worse >= 151) factor = 0.99;
    if (worse >= 201) factor = 0.99125;
    if (worse >= 251) factor = 0.9925;
    if (worse >= 301) factor = 0.995;
    expected *= factor;
    rate.observe(2);
    BOOST_TEST(rate.rate() == expected, tt::tolerance(1e-12));
  }
}

BOOST_AUTO_TEST_CASE(adaptive_has_a_floor_for_each_tier) {
  const auto rate_after = [](int iterations) {
    LearningRate rate(starting_at(1e-9, Schedule::adaptive), 8, 8);
    stall(rate, iterations);
    return rate.rate();
  };
  BOOST_TEST(rate_after(1) == 9e-8);
  LearningRateSettings settings = starting_at(1e-9, Schedule::adaptive);
  settings.least = 0.01;
  LearningRate bounded(settings, 8, 8);
  stall(bounded, 1);
  BOOST_TEST(bounded.rate() == 0.01);
}

BOOST_AUTO_TEST_CASE(no_reset_rises_by_more_after_a_long_stall) {
  struct Case {
    int stall;
    double factor;
  };
  for (const Case& c : {Case{0, 1.25},
                        {49, 1.25},
                        {50, 1.375},
                        {75, 1.5},
                        {100, 1.75},
                        {125, 2.0},
                        {150, 2.25},
                        {200, 2.5},
                        {250, 2.75},
                        {300, 3.0},
                        {400, 3.0}}) {
    LearningRateSettings settings = starting_at(1, Schedule::adaptive);
    settings.adaptive_mode = AdaptiveMode::no_reset;
    LearningRate rate(settings, 8, 8);
    stall(rate, c.stall);
    const double before = rate.rate();
    rate.observe(0.5);
    BOOST_TEST(rate.rate() / before == c.factor, tt::tolerance(1e-12));
    // The next one has no stall before it.
    rate.observe(0.25);
    BOOST_TEST(rate.rate() / before == c.factor * 1.25, tt::tolerance(1e-12));
  }
}

BOOST_AUTO_TEST_CASE(a_threshold_says_what_an_improvement_is) {
  LearningRateSettings settings = starting_at(1, Schedule::adaptive);
  settings.threshold = 0.1;
  LearningRate relative(settings, 8, 8);
  BOOST_TEST(!relative.observe(0.91));
  BOOST_TEST(relative.observe(0.5));
  BOOST_TEST(relative.observe(0.44));  // 0.45 is a tenth below 0.5
  settings.threshold_mode = ThresholdMode::absolute;
  LearningRate absolute(settings, 8, 8);
  BOOST_TEST(absolute.observe(0.5));
  BOOST_TEST(!absolute.observe(0.44));
  BOOST_TEST(absolute.observe(0.39));
  LearningRate any(starting_at(1, Schedule::adaptive), 8, 8);
  BOOST_TEST(!any.observe(1));
  BOOST_TEST(any.observe(0.999999));
}

BOOST_AUTO_TEST_CASE(it_says_why_to_stop) {
  LearningRateSettings settings = starting_at(1, Schedule::exponential);
  settings.gamma = 0.5;
  settings.stop_loss = 0.25;
  LearningRate by_loss(settings, 8, 8);
  by_loss.observe(0.26);
  BOOST_CHECK(by_loss.stop() == Stop::none);
  by_loss.observe(0.25);
  BOOST_CHECK(by_loss.stop() == Stop::loss);
  by_loss.observe(0.9);  // the lowest one counts
  BOOST_CHECK(by_loss.stop() == Stop::loss);

  settings.stop_rate = 0.25;
  LearningRate by_rate(settings, 8, 8);
  by_rate.observe(0.9);
  BOOST_CHECK(by_rate.stop() == Stop::none);
  by_rate.observe(0.9);
  BOOST_CHECK(by_rate.stop() == Stop::rate);

  settings = starting_at(1, Schedule::plateau);
  settings.stop_stall = 2;
  LearningRate by_stall(settings, 8, 8);
  stall(by_stall, 2);
  BOOST_CHECK(by_stall.stop() == Stop::none);
  stall(by_stall, 1);
  BOOST_CHECK(by_stall.stop() == Stop::stall);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::descent
