// Learned rounding of the output error, as the host uses it: the libraries, with a lane of the CPU backend.
#include "plugin/backend.hpp"
#include "plugin/catalog.hpp"
#include "plugin/host_services.hpp"
#include "plugin/optimizer.hpp"
#include "reference/operations.hpp"

#include <octavo/grid.hpp>
#include <octavo/lane.hpp>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <string>
#include <vector>

namespace octavo::test {
namespace {

namespace data = boost::unit_test::data;

constexpr std::int64_t kRows = 48, kCols = 128, kSamples = 600;
const std::array<const char*, 3> kOptimizers = {"adaptive", "adamw", "radam"};

struct Matrix {
  Matrix(std::int64_t r, std::int64_t c) : rows(r), cols(c), values(static_cast<std::size_t>(r * c)) {}
  octavo_tensor view() { return tensor_view(values.data(), OCTAVO_F32, {rows, cols}); }
  float& at(std::int64_t r, std::int64_t c) { return values[static_cast<std::size_t>(r * cols + c)]; }
  float at(std::int64_t r, std::int64_t c) const { return values[static_cast<std::size_t>(r * cols + c)]; }

  std::int64_t rows;
  std::int64_t cols;
  std::vector<float> values;
};

Matrix gaussian(unsigned seed, std::int64_t rows, std::int64_t cols) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  Matrix made(rows, cols);
  for (float& value : made.values) value = normal(engine);
  return made;
}

// Inputs whose neighbouring channels go together.
Matrix correlated(unsigned seed) {
  Matrix made = gaussian(seed, kSamples, kCols);
  for (std::int64_t r = 0; r < made.rows; ++r) {
    for (std::int64_t c = 1; c < made.cols; ++c)
      made.at(r, c) = 0.95f * made.at(r, c - 1) + 0.3f * made.at(r, c);
  }
  return made;
}

octavo_layer layer_of() {
  octavo_layer layer{};
  layer.struct_size = sizeof layer;
  layer.dtype = OCTAVO_F32;
  layer.name = "layer";
  layer.key = "layer.weight";
  layer.rows = kRows;
  layer.cols = kCols;
  return layer;
}

struct Stored {
  plugin::Preparation preparation;
  std::vector<std::int8_t> codes = std::vector<std::int8_t>(kRows * kCols);
  std::vector<float> scales = std::vector<float>(kRows);
  std::vector<double> metric = std::vector<double>(kRows), nearest_metric = std::vector<double>(kRows);
};

struct Opened {
  Opened()
      : services(reference::operations()),
        catalog(places()),
        backend(catalog.open(OCTAVO_KIND_BACKEND, "cpu"), services.host(), {}),
        lane(open_lane()),
        layer(layer_of()),
        grid(int8_grid(layer, scale_level(OCTAVO_PER_ROW))) {}

  static plugin::SearchPath places() {
    plugin::SearchPath path;
    for (const char* library : {OCTAVO_TEST_CPU_BACKEND, OCTAVO_TEST_ADAPTIVE, OCTAVO_TEST_ADAMW,
                                OCTAVO_TEST_RADAM, OCTAVO_TEST_QUIP})
      path.roots.push_back({library, true});
    return path;
  }
  plugin::Lane open_lane() {
    octavo_lane_request request{};
    request.struct_size = sizeof request;
    request.count = request.slots = 1;
    request.device = -1;
    return backend.open_lane(request);
  }

  plugin::Optimizer optimizer(const char* id, const std::vector<plugin::Assignment>& assignments = {}) {
    const plugin::Descriptor descriptor = catalog.find(OCTAVO_KIND_OPTIMIZER, id).descriptor;
    return {catalog.open(OCTAVO_KIND_OPTIMIZER, id), services.host(),
            plugin::resolve(descriptor, assignments)};
  }

  // The whole layer in tiles of `height` rows.
  Stored store(const plugin::Optimizer& optimizer, Matrix& weight, Matrix* samples,
               std::int64_t height = kRows) {
    octavo_inputs inputs{};
    inputs.struct_size = sizeof inputs;
    plugin::OptimizerState shared;
    if (samples != nullptr) {
      inputs.samples = samples->view();
      shared = optimizer.prepare_inputs(lane.raw(), inputs, grid);
    }
    const plugin::ReadRows read = [&](std::int64_t begin, octavo_tensor& target) {
      for (std::int64_t r = 0; r < target.shape[0]; ++r)
        std::copy_n(&weight.at(begin + r, 0), weight.cols, row_of<float>(target, r));
    };
    Stored made;
    made.preparation =
        optimizer.prepare(lane.raw(), layer, grid, read, samples == nullptr ? nullptr : &inputs, shared);
    if (made.preparation.verdict == OCTAVO_VERDICT_NEAREST) return made;
    for (std::int64_t begin = 0; begin < kRows; begin += height)
      quantize(optimizer, weight, begin, std::min(height, kRows - begin), made);
    return made;
  }

  void quantize(const plugin::Optimizer& optimizer, Matrix& weight, std::int64_t begin, std::int64_t rows,
                Stored& made) {
    octavo_tile tile{};
    tile.struct_size = sizeof tile;
    tile.layer = &layer;
    tile.grid = &grid;
    tile.row_begin = begin;
    tile.source = rows_of(weight.view(), begin, rows);
    tile.codes = tensor_view(made.codes.data() + begin * kCols, OCTAVO_I8, {rows, kCols});
    tile.scales[0] = tensor_view(made.scales.data() + begin, OCTAVO_F32, {rows, 1});
    octavo_tile_result result{};
    result.struct_size = sizeof result;
    result.row_metric = made.metric.data() + begin;
    result.row_nearest_metric = made.nearest_metric.data() + begin;
    optimizer.quantize(made.preparation.state, lane.raw(), tile, result);
  }

  plugin::HostServices services;
  plugin::Catalog catalog;
  plugin::Backend backend;
  plugin::Lane lane;
  octavo_layer layer;
  octavo_grid grid;
};

// X^T X in f64, scaled to a mean diagonal of 1, plus the damping of so many samples for so few columns.
std::vector<double> hessian(const Matrix& samples) {
  std::vector<double> h(kCols * kCols);
  double trace = 0;
  for (std::int64_t i = 0; i < kCols; ++i) {
    for (std::int64_t k = 0; k < kCols; ++k) {
      double sum = 0;
      for (std::int64_t s = 0; s < samples.rows; ++s) sum += double{samples.at(s, i)} * samples.at(s, k);
      h[static_cast<std::size_t>(i * kCols + k)] = sum;
      if (i == k) trace += sum;
    }
  }
  for (double& value : h) value *= kCols / trace;
  for (std::int64_t i = 0; i < kCols; ++i) h[static_cast<std::size_t>(i * kCols + i)] += 0.01;
  return h;
}

// e H e^T of a row in f64.
double error_of(const Matrix& weight, const std::vector<std::int8_t>& codes, const std::vector<float>& scales,
                const std::vector<double>& h, std::int64_t row) {
  std::vector<double> e(kCols);
  for (std::int64_t c = 0; c < kCols; ++c)
    e[static_cast<std::size_t>(c)] =
        double{scales[static_cast<std::size_t>(row)]} * codes[static_cast<std::size_t>(row * kCols + c)] -
        weight.at(row, c);
  double sum = 0;
  for (std::size_t i = 0; i < e.size(); ++i) {
    for (std::size_t k = 0; k < e.size(); ++k) sum += e[i] * h[i * e.size() + k] * e[k];
  }
  return sum;
}

std::vector<std::int8_t> nearest_codes(const Matrix& weight, const std::vector<float>& scales) {
  std::vector<std::int8_t> codes(kRows * kCols);
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t c = 0; c < kCols; ++c)
      codes[static_cast<std::size_t>(r * kCols + c)] =
          static_cast<std::int8_t>(std::nearbyint(weight.at(r, c) / scales[static_cast<std::size_t>(r)]));
  }
  return codes;
}

BOOST_AUTO_TEST_SUITE(output_error)

BOOST_DATA_TEST_CASE_F(Opened, gains_and_no_row_loses, data::make(kOptimizers), id) {
  Matrix weight = gaussian(1, kRows, kCols), samples = correlated(2);
  const Stored learned = store(optimizer(id), weight, &samples);
  BOOST_REQUIRE(learned.preparation.verdict == OCTAVO_VERDICT_GO);
  BOOST_TEST_INFO(learned.preparation.reason);
  BOOST_TEST(learned.preparation.reason.find("held-out error ") == 0u);
  const std::vector<std::int8_t> nearest = nearest_codes(weight, learned.scales);
  const std::vector<double> h = hessian(samples);
  double before = 0, after = 0;
  for (std::int64_t r = 0; r < kRows; ++r) {
    const double own = error_of(weight, nearest, learned.scales, h, r);
    const double reached = error_of(weight, learned.codes, learned.scales, h, r);
    BOOST_TEST(reached <= own * (1 + 1e-9));
    BOOST_TEST(learned.nearest_metric[static_cast<std::size_t>(r)] == own,
               boost::test_tools::tolerance(1e-4));
    BOOST_TEST(learned.metric[static_cast<std::size_t>(r)] == reached, boost::test_tools::tolerance(1e-4));
    before += own;
    after += reached;
  }
  BOOST_TEST(10 * std::log10(before / after) >= 3.5);
}

BOOST_DATA_TEST_CASE_F(Opened, from_quips_codes_no_row_rises, data::make(kOptimizers), id) {
  Matrix weight = gaussian(3, kRows, kCols), samples = correlated(4);
  const Stored quip = store(optimizer("quip"), weight, &samples);
  const Stored learned = store(optimizer(id, {{"start", "quip"}}), weight, &samples);
  BOOST_REQUIRE(learned.preparation.verdict == OCTAVO_VERDICT_GO);
  const std::vector<double> h = hessian(samples);
  double before = 0, after = 0;
  for (std::int64_t r = 0; r < kRows; ++r) {
    const double own = error_of(weight, quip.codes, quip.scales, h, r);
    const double reached = error_of(weight, learned.codes, learned.scales, h, r);
    BOOST_TEST(reached <= own * (1 + 1e-9));
    before += own;
    after += reached;
  }
  BOOST_TEST(after < before);
}

BOOST_FIXTURE_TEST_CASE(tiles_do_not_matter, Opened) {
  Matrix weight = gaussian(5, kRows, kCols), samples = correlated(6);
  const plugin::Optimizer adamw = optimizer("adamw", {{"num_iter", "40"}});
  const Stored whole = store(adamw, weight, &samples), parts = store(adamw, weight, &samples, 7);
  int different = 0;
  for (std::size_t i = 0; i < whole.codes.size(); ++i) different += whole.codes[i] != parts.codes[i] ? 1 : 0;
  BOOST_TEST(different <= kRows * kCols / 100);  // products of other shapes add in another order
}

BOOST_FIXTURE_TEST_CASE(more_of_everything_gains_more, Opened) {
  Matrix weight = gaussian(7, kRows, kCols), samples = correlated(8);
  const std::vector<double> h = hessian(samples);
  const auto reached = [&](const std::vector<plugin::Assignment>& assignments) {
    const Stored learned = store(optimizer("adaptive", assignments), weight, &samples);
    double sum = 0;
    for (std::int64_t r = 0; r < kRows; ++r) sum += error_of(weight, learned.codes, learned.scales, h, r);
    return sum;
  };
  const double proposals = reached({{"passes", "0"}});
  BOOST_TEST(proposals < reached({{"passes", "0"}, {"num_iter", "20"}}));
  BOOST_TEST(reached({}) < proposals);
  BOOST_TEST(reached({{"passes", "6"}}) < reached({}));
}

BOOST_FIXTURE_TEST_CASE(without_inputs_or_structure_it_is_nearest_and_says_why, Opened) {
  Matrix weight = gaussian(9, kRows, kCols);
  const Stored none = store(optimizer("radam", {{"objective", "output"}}), weight, nullptr);
  BOOST_CHECK(none.preparation.verdict == OCTAVO_VERDICT_NEAREST);
  BOOST_TEST(none.preparation.reason.find("without inputs") != std::string::npos);

  Matrix noise = gaussian(10, 200, kCols);  // its second moment is the identity, the rest is chance
  const Stored chance = store(optimizer("radam"), weight, &noise);
  BOOST_CHECK(chance.preparation.verdict == OCTAVO_VERDICT_NEAREST);
  BOOST_TEST(chance.preparation.reason.find("held-out") != std::string::npos);

  Matrix few = gaussian(11, 8, kCols);
  const Stored little = store(optimizer("radam"), weight, &few);
  BOOST_CHECK(little.preparation.verdict == OCTAVO_VERDICT_NEAREST);
  BOOST_TEST(little.preparation.reason.find("samples") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(what_it_wants_follows_from_objective_and_inputs, Opened) {
  const auto wants = [&](const char* objective, bool inputs) {
    return optimizer("adaptive", {{"objective", objective}}).wants(layer, grid, inputs);
  };
  BOOST_TEST(wants("auto", false) == OCTAVO_WANTS_WHOLE_LAYER);
  BOOST_TEST(wants("auto", true) == (OCTAVO_WANTS_ROWS | OCTAVO_WANTS_PREPARE | OCTAVO_WANTS_INPUTS));
  BOOST_TEST(wants("output", false) == (OCTAVO_WANTS_ROWS | OCTAVO_WANTS_PREPARE));
  BOOST_TEST(wants("projected", true) ==
             (OCTAVO_WANTS_WHOLE_LAYER | OCTAVO_WANTS_PREPARE | OCTAVO_WANTS_INPUTS));
}

// The right side of the projected objective comes from the inputs: it is their outputs' error that shrinks.
BOOST_FIXTURE_TEST_CASE(inputs_weigh_the_projected_objective, Opened) {
  Matrix weight = gaussian(12, kRows, kCols), samples = correlated(13);
  const std::vector<double> h = hessian(samples);
  const Stored learned =
      store(optimizer("adaptive", {{"objective", "projected"}, {"min_k", "40"}}), weight, &samples);
  BOOST_REQUIRE(learned.preparation.verdict == OCTAVO_VERDICT_GO);
  const std::vector<std::int8_t> nearest = nearest_codes(weight, learned.scales);
  double before = 0, after = 0;
  for (std::int64_t r = 0; r < kRows; ++r) {
    before += error_of(weight, nearest, learned.scales, h, r);
    after += error_of(weight, learned.codes, learned.scales, h, r);
  }
  BOOST_TEST(after < 0.7 * before);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::test
