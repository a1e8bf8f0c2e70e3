// The plugins of the SDK's template, used through the host. The argument is the folder they were built into.
#define BOOST_TEST_MODULE octavo_template
#include "checkpoint/layout.hpp"
#include "plugin/backend.hpp"
#include "plugin/catalog.hpp"
#include "plugin/format.hpp"
#include "plugin/host_services.hpp"
#include "plugin/model.hpp"
#include "plugin/optimizer.hpp"
#include "reference/operations.hpp"

#include <octavo/grid.hpp>
#include <octavo/tensor.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <cmath>

namespace octavo::plugin {
namespace {

std::string plugin_folder() {
  const auto& suite = boost::unit_test::framework::master_test_suite();
  BOOST_REQUIRE_EQUAL(suite.argc, 2);
  return suite.argv[1];
}

// Catalog and services of one test.
struct Host {
  Host() : services(reference::operations()), catalog(SearchPath{{{plugin_folder(), true}}, {}}) {}

  template <typename Handle>
  Handle open(octavo_kind kind, const std::string& id, const std::vector<Assignment>& assignments = {}) {
    const Record record = catalog.find(kind, id);
    return Handle(catalog.open(kind, id), services.host(), resolve(record.descriptor, assignments));
  }

  HostServices services;
  Catalog catalog;
};

octavo_layer layer_of(std::int64_t rows, std::int64_t cols) {
  octavo_layer layer{};
  layer.struct_size = sizeof layer;
  layer.dtype = OCTAVO_F32;
  layer.name = "a";
  layer.key = "a.weight";
  layer.rows = rows;
  layer.cols = cols;
  return layer;
}

octavo_lane_request one_lane() {
  octavo_lane_request request{};
  request.struct_size = sizeof request;
  request.count = 1;
  request.device = -1;
  request.slots = 1;
  return request;
}

BOOST_FIXTURE_TEST_CASE(all_four_are_listed_from_their_manifests, Host) {
  BOOST_TEST(catalog.records().size() == 4u);
  for (const Record& record : catalog.records()) {
    BOOST_TEST((record.state == State::available), record.reason);
    BOOST_TEST(record.has_manifest);
    BOOST_TEST(record.descriptor.version == "1.0.0");
  }
}

BOOST_FIXTURE_TEST_CASE(the_format_finds_what_it_wrote, Host) {
  const auto format = open<Format>(OCTAVO_KIND_FORMAT, "example_int8_row", {{"smallest", "8"}});
  BOOST_TEST(format.grid(layer_of(4, 7)).note == "7 columns are fewer than 8");
  const octavo_layer layer = layer_of(4, 32);
  const Placement placement = format.grid(layer);
  BOOST_REQUIRE(placement.grid.has_value());
  const std::vector<Entry> entries = format.entries(layer, *placement.grid, 0);
  BOOST_REQUIRE_EQUAL(entries.size(), 3u);

  std::vector<HeaderEntry> tensors;
  for (const Entry& entry : entries) {
    std::uint64_t bytes = octavo::bytes_of(entry.dtype);
    for (const std::int64_t size : entry.shape) bytes *= static_cast<std::uint64_t>(size);
    tensors.push_back({entry.key, entry.dtype, entry.shape, bytes});
  }
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  const auto read_marker = [&](std::uint64_t, std::vector<std::uint8_t>& bytes) {
    const auto& marker = entries.back().bytes;
    std::transform(marker.begin(), marker.end(), bytes.begin(),
                   [](auto byte) { return static_cast<std::uint8_t>(byte); });
  };
  const Header header(tensors, {}, read_marker);
  const Recognised found = format.recognise(header);
  BOOST_TEST(found.findings.empty());
  BOOST_REQUIRE_EQUAL(found.layers.size(), 1u);
  BOOST_TEST(found.layers[0].name == "a");
  BOOST_TEST(found.layers[0].rows == 4);
  BOOST_TEST(found.layers[0].grid.qmax == 127);
  BOOST_TEST(found.layers[0].entries.size() == 3u);

  std::erase_if(tensors, [](const HeaderEntry& entry) { return entry.name == "a.weight_scale"; });
  const Header broken(tensors, {}, read_marker);
  const Recognised nothing = format.recognise(broken);
  BOOST_TEST(nothing.layers.empty());
  BOOST_REQUIRE_EQUAL(nothing.findings.size(), 1u);
  BOOST_TEST(nothing.findings[0].code == "layer-incomplete");
}

BOOST_FIXTURE_TEST_CASE(the_optimizer_quantizes_on_the_backends_lane, Host) {
  const auto backend = open<Backend>(OCTAVO_KIND_BACKEND, "example_host");
  const auto optimizer = open<Optimizer>(OCTAVO_KIND_OPTIMIZER, "example_nearest", {{"log", "true"}});
  Lane lane = backend.open_lane(one_lane());
  const octavo_layer layer = layer_of(2, 4);
  const octavo_grid grid = int8_grid(layer, scale_level(OCTAVO_PER_ROW));
  std::array<float, 8> source = {127, -64, 2.5f, 0, 0, 254, -2, 3};  // scales 1 and 2
  std::array<std::int8_t, 8> codes{};
  std::array<float, 2> scales{};
  octavo_tile tile{};
  tile.struct_size = sizeof tile;
  tile.layer = &layer;
  tile.grid = &grid;
  tile.source = tensor_view(source.data(), OCTAVO_F32, {2, 4});
  tile.codes = tensor_view(codes.data(), OCTAVO_I8, {2, 4});
  tile.scales[0] = tensor_view(scales.data(), OCTAVO_F32, {2, 1});
  octavo_tile_result result{};
  result.struct_size = sizeof result;
  constexpr double kUnsaid = -1;
  std::array<double, 2> own{kUnsaid, kUnsaid}, nearest = own;
  result.row_metric = own.data();
  result.row_nearest_metric = nearest.data();
  optimizer.quantize(nullptr, lane.raw(), tile, result);
  lane.wait(0);
  BOOST_TEST(scales == (std::array<float, 2>{1, 2}), boost::test_tools::per_element());
  // Ties go to the even code: 2.5 / 1 -> 2, 3 / 2 -> 2.
  const std::array<int, 8> expected = {127, -64, 2, 0, 0, 127, -1, 2};
  for (std::size_t i = 0; i < 8; ++i) BOOST_TEST(codes[i] == expected[i]);
  BOOST_TEST(result.error_sum == 0.25 + 1.0);
  // A row of which nothing is said is not compared with nearest.
  for (const double metric : {own[0], own[1], nearest[0], nearest[1]}) BOOST_TEST(metric == kUnsaid);
}

BOOST_FIXTURE_TEST_CASE(the_model_keeps_large_layers, Host) {
  const auto model = open<Model>(OCTAVO_KIND_MODEL, "example_keep_large", {{"limit", "100"}});
  const Header header(
      {{"a", OCTAVO_F32, {10, 10}, 400}, {"b", OCTAVO_F32, {10, 11}, 440}, {"c", OCTAVO_F32, {10}, 40}}, {},
      {});
  const ModelContext context{header, "", 0};
  BOOST_TEST(model.classify(context, 0).decision == OCTAVO_DECISION_QUANTIZE);
  BOOST_TEST(model.classify(context, 1).decision == OCTAVO_DECISION_HIGH_PRECISION);
  BOOST_TEST(model.classify(context, 2).decision == OCTAVO_DECISION_KEEP);
  BOOST_TEST(model.detect(context).score == 0u);
}

BOOST_FIXTURE_TEST_CASE(the_backend_computes_sums_and_leaves_the_rest_to_the_reference, Host) {
  const auto backend = open<Backend>(OCTAVO_KIND_BACKEND, "example_host");
  BOOST_TEST(probe(catalog.open(OCTAVO_KIND_BACKEND, "example_host"), services.host()).score == 1u);
  Lane lane = backend.open_lane(one_lane());
  const LaneMemory memory = lane.allocate(OCTAVO_MEMORY_HOST, 1000);
  BOOST_TEST(reinterpret_cast<std::uintptr_t>(memory.data()) % 64 == 0u);
  std::array<float, 4> a = {1, 2, 3, 4};
  std::array<float, 4> b = {1, 2, 3, 2};
  const octavo_tensor x = tensor_view(a.data(), OCTAVO_F32, {2, 2});
  const octavo_tensor y = tensor_view(b.data(), OCTAVO_F32, {2, 2});
  octavo_error_sums sums{};
  sums.struct_size = sizeof sums;
  std::array<float, 4> product = {100, 0, 0, 0};
  octavo_tensor h = tensor_view(product.data(), OCTAVO_F32, {2, 2});
  lane.run("error_sums", [&](const octavo_operations& operations, octavo_lane* raw, octavo_error* error) {
    return operations.error_sums(raw, &x, &y, &sums, error);
  });
  BOOST_TEST(sums.error_sum == 4.0);
  BOOST_TEST(sums.signal_sum == 30.0);
  BOOST_TEST(sums.max_error == 2.0f);
  lane.run("gram", [&](const octavo_operations& operations, octavo_lane* raw, octavo_error* error) {
    return operations.gram(raw, &x, &h, 1, error);
  });
  BOOST_TEST(product == (std::array<float, 4>{110, 14, 14, 20}), boost::test_tools::per_element());
  BOOST_TEST(lane.operations().absmax == reference::operations().absmax);
  BOOST_TEST(backend.unsupported(OCTAVO_OP_ABSMAX, nullptr, {}) == "left to the host's reference");
}

}  // namespace
}  // namespace octavo::plugin
