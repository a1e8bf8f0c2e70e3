// In which order layers get their memory, who prepares them and when it is given back, without lanes: every
// call that a lane would make is made here, one after the other.
#include "run/layer_queue.hpp"

#include "plan/tile_shape.hpp"
#include "plugin/host_services.hpp"
#include "reference/operations.hpp"

#include <boost/test/unit_test.hpp>

#include <memory>
#include <optional>
#include <vector>

namespace octavo::run {
namespace {

constexpr uint32_t kWhole = OCTAVO_WANTS_WHOLE_LAYER | OCTAVO_WANTS_PREPARE;

// A plan of `count` equal layers, the memory they need, and what their queue leases from.
struct Fixture {
  plan::Plan plan;
  uint64_t layer_bytes = 0;
  calibration::InputGroup inputs{"layer", {}, {}};

  explicit Fixture(size_t count, uint32_t wants = kWhole) {
    for (size_t i = 0; i < count; ++i) {
      auto layer = std::make_unique<plan::PlannedLayer>();
      layer->layer.dtype = OCTAVO_BF16;
      layer->layer.rows = layer->grid.rows = 64;
      layer->layer.cols = layer->grid.cols = 32;
      layer->grid.stored_dtype = OCTAVO_I8;
      layer->grid.scale_levels = 1;
      layer->grid.scales[0] = {OCTAVO_PER_ROW, OCTAVO_SCALE_ABSMAX, OCTAVO_F32, 1e-30F, 0, 0};
      layer->grid.row_multiple = 1;
      layer->wants = wants;
      if ((wants & OCTAVO_WANTS_INPUTS) != 0) layer->inputs = &inputs;
      plan.layers.push_back(std::move(layer));
    }
    layer_bytes = plan::tile_lease(*plan.layers.front());
  }

  std::vector<uint32_t> order() const {
    std::vector<uint32_t> order;
    for (uint32_t i = 0; i < plan.layers.size(); ++i) order.push_back(i);
    return order;
  }
};

// Releasing it is seen from outside.
PreparedLayer prepared_with(const std::shared_ptr<int>& state) {
  PreparedLayer prepared;
  prepared.preparation.state = state;
  return prepared;
}

BOOST_AUTO_TEST_SUITE(layer_queue)

BOOST_AUTO_TEST_CASE(only_layers_that_need_more_than_a_tile_are_here) {
  Fixture fixture(3);
  fixture.plan.layers[1]->wants = 0;
  plugin::HostServices services(reference::operations());
  IdleLanes idle;
  const LayerQueue queue(fixture.plan, fixture.order(), services, idle, 2);
  BOOST_TEST(queue.contains(0));
  BOOST_TEST(!queue.contains(1));
  BOOST_TEST(queue.prepares());
  BOOST_TEST(!queue.turn(1).has_value());
  BOOST_TEST(queue.turn(2).value() == 1u);  // the second of those that are here
}

BOOST_AUTO_TEST_CASE(memory_is_given_in_the_order_of_the_work_and_comes_back) {
  Fixture fixture(3);
  plugin::HostServices services(reference::operations(), 2 * fixture.layer_bytes);
  IdleLanes idle;
  LayerQueue queue(fixture.plan, fixture.order(), services, idle, 3);
  BOOST_TEST(!queue.admit(1));  // 0 has its turn
  BOOST_TEST(queue.admit(0));
  BOOST_TEST(queue.admit(0));
  BOOST_TEST(queue.admit(1));
  BOOST_TEST(services.leased() == 2 * fixture.layer_bytes);
  BOOST_TEST(!queue.admit(2));
  BOOST_TEST(!queue.can_go_on(2, false));
  queue.prepared(0, {});
  queue.finished(0);
  BOOST_TEST(services.leased() == fixture.layer_bytes);
  BOOST_TEST(queue.can_go_on(2, false));
  BOOST_TEST(queue.admit(2));
  BOOST_TEST(services.most_leased() == 2 * fixture.layer_bytes);
}

// Else a limit below the largest layer would lock up.
BOOST_AUTO_TEST_CASE(the_only_layer_in_work_gets_its_memory_whatever_the_limit) {
  Fixture fixture(2);
  plugin::HostServices services(reference::operations(), fixture.layer_bytes / 2);
  IdleLanes idle;
  LayerQueue queue(fixture.plan, fixture.order(), services, idle, 2);
  BOOST_TEST(queue.admit(0));
  BOOST_TEST(!queue.admit(1));
  queue.prepared(0, {});
  queue.finished(0);
  BOOST_TEST(queue.admit(1));
}

BOOST_AUTO_TEST_CASE(one_lane_prepares_a_layer_and_others_go_ahead) {
  Fixture fixture(4);
  plugin::HostServices services(reference::operations());
  IdleLanes idle;
  LayerQueue queue(fixture.plan, fixture.order(), services, idle, 3);
  BOOST_REQUIRE(queue.admit(0));
  BOOST_TEST(queue.claim(0));
  BOOST_TEST(!queue.claim(0));
  BOOST_TEST(!queue.is_prepared(0));
  BOOST_TEST(!queue.can_go_on(0, false));  // a lane that cannot prepare has nothing to do
  BOOST_TEST(queue.can_go_on(0, true));
  BOOST_TEST(queue.claim_ahead().value() == 1u);
  BOOST_TEST(queue.claim_ahead().value() == 2u);
  BOOST_TEST(!queue.claim_ahead().has_value());  // as many as there are lanes
  BOOST_TEST(!queue.can_claim_ahead());
  queue.prepared(0, {});
  BOOST_TEST(queue.is_prepared(0));
  BOOST_TEST(queue.can_go_on(0, false));
  queue.finished(0);
  BOOST_TEST(queue.can_claim_ahead());
  BOOST_TEST(queue.claim_ahead().value() == 3u);
}

BOOST_AUTO_TEST_CASE(nothing_is_claimed_ahead_that_has_no_memory) {
  Fixture fixture(2);
  plugin::HostServices services(reference::operations(), fixture.layer_bytes);
  IdleLanes idle;
  LayerQueue queue(fixture.plan, fixture.order(), services, idle, 2);
  BOOST_REQUIRE(queue.admit(0));
  BOOST_REQUIRE(queue.claim(0));
  BOOST_TEST(!queue.can_claim_ahead());
  BOOST_TEST(!queue.claim_ahead().has_value());
}

BOOST_AUTO_TEST_CASE(what_was_prepared_lives_until_its_layer_is_finished) {
  Fixture fixture(1);
  plugin::HostServices services(reference::operations());
  IdleLanes idle;
  LayerQueue queue(fixture.plan, fixture.order(), services, idle, 1);
  BOOST_REQUIRE(queue.admit(0) && queue.claim(0));
  const auto state = std::make_shared<int>(7);
  queue.prepared(0, prepared_with(state));
  BOOST_TEST(queue.get(0).state.get() == state.get());
  BOOST_TEST(state.use_count() == 2);
  queue.finished(0);
  BOOST_TEST(state.use_count() == 1);
  BOOST_TEST(services.leased() == 0u);
}

BOOST_AUTO_TEST_CASE(layers_with_the_same_inputs_share_what_is_made_of_them) {
  Fixture fixture(3, OCTAVO_WANTS_PREPARE | OCTAVO_WANTS_INPUTS);
  fixture.plan.layers[2]->grid.basis = OCTAVO_BASIS_CONVROT;  // another basis, another state
  plugin::HostServices services(reference::operations());
  IdleLanes idle;
  LayerQueue queue(fixture.plan, fixture.order(), services, idle, 3);
  int made = 0;
  const auto make = [&](SharedInputs& shared, const calibration::InputGroup& group) {
    BOOST_TEST(group.name == "layer");
    shared.state = std::make_shared<int>(++made);
  };
  BOOST_REQUIRE(queue.admit(0) && queue.admit(1) && queue.admit(2));
  BOOST_REQUIRE(queue.claim(0));
  BOOST_TEST(!queue.claim(1));  // would wait for what 0 makes
  BOOST_TEST(queue.claim(2));
  const std::weak_ptr<SharedInputs> first = queue.shared_inputs(0, make);
  BOOST_TEST(queue.claim(1));
  BOOST_TEST(queue.shared_inputs(1, make).get() == first.lock().get());
  BOOST_TEST(made == 1);
  queue.shared_inputs(2, make);
  BOOST_TEST(made == 2);

  PreparedLayer prepared;
  prepared.shared = first.lock();
  queue.prepared(0, std::move(prepared));
  queue.prepared(1, {});
  BOOST_TEST(!first.expired());  // layer 0 is still being stored
  queue.finished(0);
  BOOST_TEST(first.expired());
}

// A run that ends early: nothing that was leased or opened stays so.
BOOST_AUTO_TEST_CASE(a_queue_that_is_left_gives_everything_back) {
  Fixture fixture(2);
  plugin::HostServices services(reference::operations());
  {
    IdleLanes idle;
    LayerQueue queue(fixture.plan, fixture.order(), services, idle, 2);
    BOOST_REQUIRE(queue.admit(0) && queue.admit(1) && queue.claim(0));
  }
  BOOST_TEST(services.leased() == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::run
