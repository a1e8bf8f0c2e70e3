#include "plugin/backend.hpp"

#include "fixture.hpp"
#include "reference/operations.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>

namespace octavo::plugin {
namespace {

using test::error_with;

octavo_lane_request request_for(std::int32_t device) {
  octavo_lane_request request{};
  request.struct_size = sizeof request;
  request.count = 1;
  request.device = device;
  request.slots = 1;
  return request;
}

struct Opened {
  Opened()
      : catalog(test::places({test::fixture("lane_backend")})),
        plugin(test::open_only(catalog)),
        backend(plugin, test::services().host(), {}) {}
  Catalog catalog;
  const octavo_plugin& plugin;
  Backend backend;
};

BOOST_AUTO_TEST_SUITE(backend)

BOOST_FIXTURE_TEST_CASE(it_is_probed, Opened) {
  const Probe found = probe(plugin, test::services().host());
  BOOST_TEST(found.score == 1000u);  // 5000 is cut
  BOOST_TEST(found.reason == "better than anything");
  BOOST_REQUIRE_EQUAL(found.devices.size(), 1u);
  BOOST_TEST(found.devices[0].index == 2);
  BOOST_TEST(found.devices[0].name == "a device");
  BOOST_TEST(backend.suggested_lanes() == 3u);
  BOOST_TEST(backend.suggested_slots() == 1u);  // it said 0
}

BOOST_AUTO_TEST_CASE(a_probe_that_fails_is_a_score_of_0) {
  Catalog catalog(test::places({test::fixture("probe_throws"), test::fixture("valid")}));
  const Probe found = probe(catalog.open(OCTAVO_KIND_BACKEND, "probe_throws"), test::services().host());
  BOOST_TEST(found.score == 0u);
  BOOST_TEST(found.reason.find("no driver") != std::string::npos);
  const Backend laneless(catalog.open(OCTAVO_KIND_BACKEND, "probe_throws"), test::services().host(), {});
  BOOST_CHECK_EXCEPTION(laneless.open_lane(request_for(-1)), Error,
                        error_with(ErrorCode::failed, "the backend made no lane"));
  BOOST_TEST(probe(catalog.open(OCTAVO_KIND_FORMAT, "valid"), test::services().host()).score ==
             1u);  // has no probe
}

BOOST_FIXTURE_TEST_CASE(on_host_memory_the_reference_fills_the_table, Opened) {
  Lane lane = backend.open_lane(request_for(-1));
  BOOST_TEST(lane.on_host());
  BOOST_TEST(lane.raw().operations == &lane.operations());
  BOOST_TEST(lane.operations().absmax == reference::operations().absmax);
  BOOST_TEST(lane.operations().merge_low_rank == reference::operations().merge_low_rank);
  BOOST_TEST(lane.operations().error_sums != reference::operations().error_sums);
  BOOST_TEST(lane.raw().primary == 1u);
  octavo_lane* const address = &lane.raw();
  Lane moved = std::move(lane);
  BOOST_TEST(&moved.raw() == address);
  BOOST_TEST(moved.raw().operations == &moved.operations());
}

BOOST_FIXTURE_TEST_CASE(it_is_told_the_device_that_it_warms_up, Opened) {
  BOOST_CHECK_NO_THROW(backend.warm_up(2));
  BOOST_CHECK_EXCEPTION(backend.warm_up(9), DeviceLost,
                        error_with(ErrorCode::resources, "[lane_backend: warm_up] no device 9"));
}

BOOST_FIXTURE_TEST_CASE(on_a_device_what_is_missing_says_so, Opened) {
  Lane lane = backend.open_lane(request_for(0));
  BOOST_TEST(!lane.on_host());
  BOOST_CHECK_EXCEPTION(
      lane.run("gram", [](const octavo_operations& operations, octavo_lane* raw,
                          octavo_error* error) { return operations.gram(raw, nullptr, nullptr, 0, error); }),
      Error, error_with(ErrorCode::unsupported, "the backend has no gram"));
}

BOOST_FIXTURE_TEST_CASE(lanes_are_closed_with_their_handles, Opened) {
  const auto open_lanes = [](Lane& lane) {
    octavo_error_sums sums{};
    sums.struct_size = sizeof sums;
    octavo_tensor tensor{};
    lane.run("error_sums", [&](const octavo_operations& operations, octavo_lane* raw, octavo_error* error) {
      return operations.error_sums(raw, &tensor, &tensor, &sums, error);
    });
    return static_cast<int>(sums.error_sum);
  };
  Lane first = backend.open_lane(request_for(-1));
  {
    Lane second = backend.open_lane(request_for(-1));
    BOOST_TEST(open_lanes(first) == 2);
    Lane third = backend.open_lane(request_for(-1));
    second = std::move(third);  // the one that second held is closed
    BOOST_TEST(open_lanes(first) == 2);
  }
  BOOST_TEST(open_lanes(first) == 1);
  BOOST_CHECK_EXCEPTION(backend.open_lane(request_for(9)), Error,
                        error_with(ErrorCode::usage, "there is no device 9"));
  BOOST_TEST(open_lanes(first) == 1);
}

BOOST_FIXTURE_TEST_CASE(memory_is_given_back_with_its_handle, Opened) {
  Lane lane = backend.open_lane(request_for(-1));
  const LaneMemory memory = lane.allocate(OCTAVO_MEMORY_HOST, 100);
  BOOST_TEST(memory.data() != nullptr);
  BOOST_TEST(memory.bytes() == 100u);
  BOOST_CHECK_EXCEPTION(lane.allocate(OCTAVO_MEMORY_HOST, 2'000'000), Error,
                        error_with(ErrorCode::resources, "[lane_backend: allocate] out of memory"));
  BOOST_CHECK_EXCEPTION(lane.allocate(OCTAVO_MEMORY_HOST, 13), Error,
                        error_with(ErrorCode::failed, "answers with a null pointer"));
}

BOOST_FIXTURE_TEST_CASE(a_lost_device_is_an_error_of_resources, Opened) {
  Lane lane = backend.open_lane(request_for(0));
  BOOST_CHECK_NO_THROW(lane.wait(0));
  BOOST_CHECK_EXCEPTION(lane.wait(7), Error, error_with(ErrorCode::resources, "the device is gone"));
}

BOOST_FIXTURE_TEST_CASE(it_explains_what_it_does_not_support, Opened) {
  BOOST_TEST(backend.unsupported(OCTAVO_OP_ERROR_SUMS, nullptr, {}) == "");
  BOOST_TEST(backend.unsupported(OCTAVO_OP_GRAM, nullptr, {}) == "not here");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::plugin
