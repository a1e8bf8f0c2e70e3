#include "plugin/optimizer.hpp"

#include "fixture.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>

namespace octavo::plugin {
namespace {

using test::error_with;

struct Opened {
  explicit Opened(const std::vector<Assignment>& assignments = {})
      : catalog(test::places({test::fixture("stateful")})),
        optimizer(test::open_only(catalog), test::services().host(),
                  resolve(catalog.records().at(0).descriptor, assignments)) {
    layer.struct_size = sizeof layer;
    layer.name = "a";
    layer.rows = 8;
    layer.cols = 4;
    result.struct_size = sizeof result;
  }
  // How many states are alive, as the plugin counts them.
  int alive(const OptimizerState& state) {
    optimizer.quantize(state, lane, {}, result);
    return static_cast<int>(result.error_sum);
  }

  Catalog catalog;
  Optimizer optimizer;
  octavo_lane lane{};
  octavo_layer layer{};
  octavo_grid grid{};
  octavo_inputs inputs{};
  octavo_tile_result result{};
};

// Row r of the source holds r everywhere.
void read_rows(std::int64_t row_begin, octavo_tensor& target) {
  auto* data = static_cast<float*>(target.data);
  for (std::int64_t row = 0; row < target.shape[0]; ++row)
    std::fill_n(data + row * target.row_stride, target.shape[1], static_cast<float>(row_begin + row));
}

BOOST_AUTO_TEST_SUITE(optimizer)

BOOST_FIXTURE_TEST_CASE(it_says_what_it_wants, Opened) {
  BOOST_TEST(optimizer.default_format() == "valid:x=1");
  BOOST_TEST(optimizer.wants(layer, grid, false) == (OCTAVO_WANTS_WHOLE_LAYER | OCTAVO_WANTS_PREPARE));
  BOOST_TEST(optimizer.wants(layer, grid, true) ==
             (OCTAVO_WANTS_WHOLE_LAYER | OCTAVO_WANTS_PREPARE | OCTAVO_WANTS_INPUTS));
}

BOOST_FIXTURE_TEST_CASE(states_live_as_long_as_their_handles, Opened) {
  OptimizerState shared = optimizer.prepare_inputs(lane, inputs, grid);
  BOOST_TEST(alive(shared) == 1);
  Preparation prepared = optimizer.prepare(lane, layer, grid, read_rows, &inputs, shared);
  BOOST_TEST(prepared.verdict == OCTAVO_VERDICT_GO);
  BOOST_TEST(prepared.reason == "1.000000");  // the plugin read row 1
  BOOST_TEST(alive(prepared.state) == 2);
  shared.reset();
  BOOST_TEST(alive(prepared.state) == 1);
}

BOOST_FIXTURE_TEST_CASE(it_may_prefer_nearest, Opened) {
  const Preparation prepared = optimizer.prepare(lane, layer, grid, read_rows, nullptr, nullptr);
  BOOST_TEST(prepared.verdict == OCTAVO_VERDICT_NEAREST);
  BOOST_TEST(prepared.reason == "no inputs");
  BOOST_TEST(prepared.state == nullptr);
}

BOOST_FIXTURE_TEST_CASE(it_is_told_the_device_that_it_warms_up_for, Opened) {
  BOOST_CHECK_NO_THROW(optimizer.warm_up(OCTAVO_MEMORY_DEVICE, 3));
  BOOST_CHECK_EXCEPTION(optimizer.warm_up(OCTAVO_MEMORY_DEVICE, 4), DeviceLost,
                        error_with(ErrorCode::resources, "[stateful: warm_up] no device 4"));
}

BOOST_FIXTURE_TEST_CASE(what_reading_rows_throws_reaches_the_caller_as_it_is, Opened) {
  const ReadRows fails = [](std::int64_t, octavo_tensor&) -> void {
    throw Error(ErrorCode::io, "[read] the disk is on fire", "leave");
  };
  BOOST_CHECK_EXCEPTION(optimizer.prepare(lane, layer, grid, fails, nullptr, nullptr), Error,
                        error_with(ErrorCode::io, "[read] the disk is on fire"));
}

BOOST_AUTO_TEST_CASE(a_failed_read_that_a_plugin_ignores_reaches_the_caller_too) {
  Opened opened(std::vector<Assignment>{{"looks", "false"}});
  const ReadRows fails = [](std::int64_t, octavo_tensor&) -> void {
    throw Error(ErrorCode::io, "[read] the disk is on fire", "leave");
  };
  const OptimizerState shared = opened.optimizer.prepare_inputs(opened.lane, opened.inputs, opened.grid);
  BOOST_CHECK_EXCEPTION(
      opened.optimizer.prepare(opened.lane, opened.layer, opened.grid, fails, &opened.inputs, shared), Error,
      error_with(ErrorCode::io, "[read] the disk is on fire"));
  BOOST_TEST(opened.alive(shared) == 1);  // the state that it made was released
}

BOOST_AUTO_TEST_CASE(what_wants_throws_fails_the_calls_after_it) {
  Opened opened(std::vector<Assignment>{{"answers", "false"}});
  BOOST_TEST(opened.alive(opened.optimizer.prepare_inputs(opened.lane, opened.inputs, opened.grid)) == 1);
  opened.optimizer.wants(opened.layer, opened.grid, false);
  const auto says_it = error_with(ErrorCode::unsupported, "a layer of no use");
  BOOST_CHECK_EXCEPTION(opened.optimizer.prepare_inputs(opened.lane, opened.inputs, opened.grid), Error,
                        says_it);
  BOOST_CHECK_EXCEPTION(
      opened.optimizer.prepare(opened.lane, opened.layer, opened.grid, read_rows, nullptr, nullptr), Error,
      says_it);
  BOOST_CHECK_EXCEPTION(opened.optimizer.quantize(nullptr, opened.lane, {}, opened.result), Error, says_it);
}

BOOST_FIXTURE_TEST_CASE(cancelled_is_its_own_code, Opened) {
  BOOST_CHECK_EXCEPTION(optimizer.quantize(nullptr, lane, {}, result), Error,
                        error_with(ErrorCode::stopped, "[stateful: quantize] stopped"));
}

BOOST_FIXTURE_TEST_CASE(parameters_out_of_range_never_reach_it, Opened) {
  BOOST_CHECK_EXCEPTION(resolve(catalog.records().at(0).descriptor, std::vector<Assignment>{{"rows", "9"}}),
                        Error, error_with(ErrorCode::usage, "an integer from 1 to 8"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::plugin
