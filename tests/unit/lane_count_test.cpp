// How many lanes a plan's work gets.
#include "run/lane_count.hpp"

#include <octavo/grid.hpp>

#include <boost/test/unit_test.hpp>

#include <memory>
#include <utility>
#include <vector>

namespace octavo::run {
namespace {

// A plan of one layer that wants this of the host.
struct Work {
  checkpoint::TensorRef tensor;
  plan::Plan plan;

  explicit Work(uint32_t wants) {
    auto layer = std::make_unique<plan::PlannedLayer>();
    layer->source = layer->origin.tensor = &tensor;
    layer->layer.rows = layer->grid.rows = 64;
    layer->layer.cols = layer->grid.cols = 256;
    layer->grid.basis = OCTAVO_BASIS_PLAIN;
    layer->wants = wants;
    plan.layers.push_back(std::move(layer));
  }
};

constexpr LaneSetting kHost{.cpus = 16}, kDevice{.suggested = 12, .cpus = 16, .on_host = false};

LaneSetting side_by_side(LaneSetting setting) {
  setting.side_by_side = true;
  return setting;
}

BOOST_AUTO_TEST_SUITE(lane_count)

BOOST_AUTO_TEST_CASE(the_host_has_as_many_as_cpus) {
  const Work light(0), whole(OCTAVO_WANTS_WHOLE_LAYER);
  BOOST_TEST(usual_lanes(light.plan, kHost) == 16u);
  BOOST_TEST(usual_lanes(light.plan, side_by_side(kHost)) == 16u);
  BOOST_TEST(usual_lanes(whole.plan, kHost) == 16u);
}

BOOST_AUTO_TEST_CASE(a_device_has_what_its_backend_suggests) {
  const Work light(0);
  BOOST_TEST(usual_lanes(light.plan, kDevice) == 12u);
}

BOOST_AUTO_TEST_CASE(a_device_has_half_for_whole_layers) {
  const Work whole(OCTAVO_WANTS_WHOLE_LAYER);
  BOOST_TEST(usual_lanes(whole.plan, kDevice) == 6u);
  BOOST_TEST(usual_lanes(whole.plan, side_by_side(kDevice)) == 6u);
}

BOOST_AUTO_TEST_CASE(several_devices_share_the_lanes_of_one_but_for_whole_layers) {
  const Work light(0), whole(OCTAVO_WANTS_WHOLE_LAYER);
  LaneSetting two = kDevice;
  two.devices = 2;
  BOOST_TEST(usual_lanes(light.plan, two) == 12u);
  BOOST_TEST(usual_lanes(light.plan, side_by_side(two)) == 16u);
  BOOST_TEST(usual_lanes(whole.plan, two) == 12u);
}

BOOST_AUTO_TEST_CASE(a_device_has_more_for_many_files_but_no_more_than_cpus) {
  const Work light(0);
  BOOST_TEST(usual_lanes(light.plan, side_by_side(kDevice)) == 16u);
  LaneSetting small = side_by_side(kDevice), large = small;
  small.cpus = 8;
  large.cpus = 64;
  BOOST_TEST(usual_lanes(light.plan, small) == 12u);
  BOOST_TEST(usual_lanes(light.plan, large) == 16u);
}

// Layers that want inputs; of each `shared` in a row the inputs are the same.
struct WithInputs {
  std::vector<calibration::InputGroup> groups;
  plan::Plan plan;

  WithInputs(size_t layers, size_t shared) : groups(layers / shared) {
    for (size_t i = 0; i < layers; ++i) {
      auto layer = std::make_unique<plan::PlannedLayer>();
      layer->wants = OCTAVO_WANTS_PREPARE | OCTAVO_WANTS_INPUTS;
      layer->inputs = &groups[i / shared];
      plan.layers.push_back(std::move(layer));
    }
  }
};

BOOST_AUTO_TEST_CASE(few_prepare_on_a_device_and_more_where_most_share_inputs) {
  const WithInputs own(12, 1), pairs(12, 2), shared(12, 4);
  BOOST_TEST(preparing_lanes(own.plan, false, 16) == 4u);
  BOOST_TEST(preparing_lanes(pairs.plan, false, 16) == 4u);
  BOOST_TEST(preparing_lanes(shared.plan, false, 16) == 8u);
  BOOST_TEST(preparing_lanes(shared.plan, false, 6) == 6u);
  BOOST_TEST(preparing_lanes(Work(OCTAVO_WANTS_WHOLE_LAYER).plan, false, 16) == 4u);
  BOOST_TEST(preparing_lanes(own.plan, true, 16) == 16u);
}

BOOST_AUTO_TEST_CASE(there_is_always_one) {
  const Work light(0);
  BOOST_TEST(usual_lanes(light.plan, {.suggested = 1, .cpus = 8}) == 1u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::run
