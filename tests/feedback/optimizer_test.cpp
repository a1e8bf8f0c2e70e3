// gptq and quip as the host uses them: the libraries, with lanes of the CPU backend.
#include "plugin/optimizer.hpp"

#include "plugin/backend.hpp"
#include "plugin/catalog.hpp"
#include "problem.hpp"

#include <octavo/incoherent.hpp>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <limits>

namespace octavo::test {
namespace {

constexpr std::int64_t kRows = 96, kCols = 256;

struct Opened {
  Opened()
      : services(reference::operations()),
        catalog(places()),
        backend(open(OCTAVO_KIND_BACKEND, "cpu"), services.host(), {}) {}

  static plugin::SearchPath places() {
    plugin::SearchPath path;
    for (const char* library : {OCTAVO_TEST_CPU_BACKEND, OCTAVO_TEST_QUIP, OCTAVO_TEST_GPTQ})
      path.roots.push_back({library, true});
    return path;
  }
  const octavo_plugin& open(octavo_kind kind, const char* id) { return catalog.open(kind, id); }
  plugin::Optimizer optimizer(const char* id, const std::vector<plugin::Assignment>& assignments = {}) {
    const plugin::Descriptor descriptor = catalog.find(OCTAVO_KIND_OPTIMIZER, id).descriptor;
    return {open(OCTAVO_KIND_OPTIMIZER, id), services.host(), plugin::resolve(descriptor, assignments)};
  }
  plugin::Lane lane() {
    octavo_lane_request request{};
    request.struct_size = sizeof request;
    request.count = 1;
    request.slots = 1;
    request.device = -1;
    return backend.open_lane(request);
  }

  plugin::HostServices services;
  plugin::Catalog catalog;
  plugin::Backend backend;
};

octavo_grid plain_grid(octavo_scale_level level) { return int8_grid(layer_of(kRows, kCols), level); }
octavo_grid convrot_grid() {
  octavo_grid grid = plain_grid(scale_level(OCTAVO_PER_ROW));
  grid.basis = OCTAVO_BASIS_CONVROT;
  grid.basis_group = 256;
  return grid;
}

// What a layer is stored as, and what the optimizer says of it.
struct Stored {
  plugin::Preparation preparation;
  std::vector<std::int8_t> codes;
  Values scales{1, 1};
  std::vector<double> metric, nearest_metric;
  double error_sum = 0, signal_sum = 0;
};

Stored store(Opened& opened, const plugin::Optimizer& optimizer, const octavo_grid& grid, Values& weight,
             Values* samples, std::int64_t height = kRows) {
  plugin::Lane lane = opened.lane();
  const octavo_layer layer = layer_of(weight.rows, weight.cols);
  const bool whole = grid.basis == OCTAVO_BASIS_INCOHERENT;
  Stored made;
  octavo_inputs inputs{};
  plugin::OptimizerState shared;
  if (samples != nullptr) {
    inputs = inputs_of(*samples);
    shared = optimizer.prepare_inputs(lane.raw(), inputs, grid);
  }
  const plugin::ReadRows read = [&](std::int64_t begin, octavo_tensor& target) {
    for (std::int64_t r = 0; r < target.shape[0]; ++r)
      std::copy_n(&weight.at(begin + r, 0), weight.cols, row_of<float>(target, r));
  };
  made.preparation =
      optimizer.prepare(lane.raw(), layer, grid, read, samples == nullptr ? nullptr : &inputs, shared);
  made.codes.resize(static_cast<std::size_t>(grid.rows * grid.cols));
  const ScaleShape shape = scale_shape(grid.scales[0], grid.rows, grid.cols);
  made.scales = Values(shape.rows, shape.cols);
  made.metric.resize(static_cast<std::size_t>(weight.rows));
  made.nearest_metric.resize(static_cast<std::size_t>(weight.rows));
  float absmax = 0;
  for (const float value : weight.data) absmax = std::max(absmax, std::fabs(value));
  const std::int64_t scale_rows =
      grid.scales[0].granularity == OCTAVO_PER_BLOCK ? grid.scales[0].block_rows : 1;
  for (std::int64_t begin = 0; begin < weight.rows; begin += height) {
    const std::int64_t rows = std::min(height, weight.rows - begin), coded = whole ? grid.rows : rows;
    octavo_tile tile{};
    tile.struct_size = sizeof tile;
    tile.layer = &layer;
    tile.grid = &grid;
    tile.row_begin = begin;
    tile.source = rows_of(weight.view(), begin, rows);
    tile.codes = tensor_view(made.codes.data() + begin * grid.cols, OCTAVO_I8, {coded, grid.cols});
    if (grid.scales[0].granularity != OCTAVO_PER_TENSOR) {
      const ScaleShape part = scale_shape(grid.scales[0], coded, grid.cols);
      tile.scales[0] =
          tensor_view(&made.scales.at(begin / scale_rows, 0), OCTAVO_F32, {part.rows, part.cols});
    } else {
      tile.absmax = absmax;
      made.scales.at(0, 0) = absmax / 127.0f;
    }
    octavo_tile_result result{};
    result.struct_size = sizeof result;
    result.row_metric = made.metric.data() + begin;
    result.row_nearest_metric = made.nearest_metric.data() + begin;
    optimizer.quantize(made.preparation.state, lane.raw(), tile, result);
    made.error_sum += result.error_sum;
    made.signal_sum += result.signal_sum;
  }
  return made;
}

double total(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

// ||x (W - stored)^T||^2 over samples that nobody has seen, in the plain basis of a plain grid.
double output_error(const Values& weight, const Stored& stored, const octavo_grid& grid,
                    const Values& samples) {
  double sum = 0;
  for (std::int64_t s = 0; s < samples.rows; ++s) {
    for (std::int64_t r = 0; r < weight.rows; ++r) {
      double y = 0;
      for (std::int64_t c = 0; c < weight.cols; ++c) {
        const octavo_scale_level& level = grid.scales[0];
        const float scale = level.granularity == OCTAVO_PER_ROW ? stored.scales.at(r, 0)
                            : level.granularity == OCTAVO_PER_BLOCK
                                ? stored.scales.at(r / level.block_rows, c / level.block_cols)
                                : stored.scales.at(0, 0);
        y += (weight.at(r, c) - stored.codes[static_cast<std::size_t>(r * kCols + c)] * double{scale}) *
             samples.at(s, c);
      }
      sum += y * y;
    }
  }
  return sum;
}

const octavo_grid kGrids[] = {plain_grid(scale_level(OCTAVO_PER_ROW)),
                              plain_grid(scale_level(OCTAVO_PER_TENSOR)),
                              plain_grid(scale_level(OCTAVO_PER_BLOCK, 32, 128)), convrot_grid()};

BOOST_AUTO_TEST_SUITE(optimizer)

BOOST_FIXTURE_TEST_CASE(they_say_what_suits_them, Opened) {
  BOOST_TEST(optimizer("gptq").default_format() == "int8_tensorwise:scale=row");
  BOOST_TEST(optimizer("quip").default_format() == "int8_convrot");
  const octavo_layer layer = layer_of(kRows, kCols);
  BOOST_TEST(optimizer("quip").wants(layer, convrot_grid(), true) ==
             (OCTAVO_WANTS_ROWS | OCTAVO_WANTS_PREPARE | OCTAVO_WANTS_INPUTS));
  octavo_grid incoherent = convrot_grid();
  incoherent.basis = OCTAVO_BASIS_INCOHERENT;
  BOOST_TEST((optimizer("quip").wants(layer, incoherent, true) & OCTAVO_WANTS_WHOLE_LAYER) != 0u);
  BOOST_TEST((optimizer("quip").wants(layer, cast_grid(layer, OCTAVO_F16), true) & OCTAVO_WANTS_INPUTS) ==
             0u);
}

BOOST_DATA_TEST_CASE(every_row_is_better_in_the_metric_and_the_output_on_new_inputs,
                     boost::unit_test::data::xrange(4), g) {
  Opened opened;
  Values weight = gaussian(1, kRows, kCols), samples = correlated(2, 1200, kCols);
  for (const char* id : {"gptq", "quip"}) {
    const Stored stored = store(opened, opened.optimizer(id), kGrids[g], weight, &samples);
    BOOST_TEST(stored.preparation.verdict == OCTAVO_VERDICT_GO);
    BOOST_TEST(stored.preparation.reason.find("held-out error") != std::string::npos);
    for (std::size_t r = 0; r < kRows; ++r) BOOST_TEST(stored.metric[r] < stored.nearest_metric[r]);
    BOOST_TEST(total(stored.metric) < 0.4 * total(stored.nearest_metric));
    if (kGrids[g].basis != OCTAVO_BASIS_PLAIN) continue;
    const Stored nearest = store(opened, opened.optimizer(id), kGrids[g], weight, nullptr);
    const Values fresh = correlated(3, 100, kCols);
    BOOST_TEST(output_error(weight, stored, kGrids[g], fresh) <
               0.6 * output_error(weight, nearest, kGrids[g], fresh));
    // Scales stay nearest's, so that rows of both can stand side by side.
    BOOST_TEST(stored.scales.data == nearest.scales.data, boost::test_tools::per_element());
  }
}

BOOST_FIXTURE_TEST_CASE(sums_are_those_of_the_stored_codes, Opened) {
  Values weight = gaussian(1, kRows, kCols), samples = correlated(2, 1200, kCols);
  const Stored stored = store(*this, optimizer("gptq"), kGrids[0], weight, &samples, 40);
  double error = 0, signal = 0;
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t c = 0; c < kCols; ++c) {
      const double e =
          stored.codes[static_cast<std::size_t>(r * kCols + c)] * double{stored.scales.at(r, 0)} -
          weight.at(r, c);
      error += e * e;
      signal += double{weight.at(r, c)} * weight.at(r, c);
    }
  }
  BOOST_TEST(stored.error_sum == error, boost::test_tools::tolerance(1e-5));
  BOOST_TEST(stored.signal_sum == signal, boost::test_tools::tolerance(1e-6));
}

BOOST_DATA_TEST_CASE(tiles_and_blocks_change_no_code_that_is_not_at_a_tie, boost::unit_test::data::xrange(4),
                     g) {
  Opened opened;
  Values weight = gaussian(1, kRows, kCols), samples = correlated(2, 600, kCols);
  const std::vector<std::int8_t> whole =
      store(opened, opened.optimizer("quip"), kGrids[g], weight, &samples).codes;
  const std::vector<std::int8_t> again =
      store(opened, opened.optimizer("quip"), kGrids[g], weight, &samples).codes;
  BOOST_TEST((whole == again));
  const auto differing_rows = [&](const std::vector<std::int8_t>& other) {
    int rows = 0;
    for (std::int64_t r = 0; r < kRows; ++r)
      rows +=
          std::equal(whole.begin() + r * kCols, whole.begin() + (r + 1) * kCols, other.begin() + r * kCols)
              ? 0
              : 1;
    return rows;
  };
  BOOST_TEST(differing_rows(store(opened, opened.optimizer("quip"), kGrids[g], weight, &samples, 32).codes) <=
             3);
  BOOST_TEST(differing_rows(
                 store(opened, opened.optimizer("quip", {{"block_size", "48"}}), kGrids[g], weight, &samples)
                     .codes) <= 3);
}

BOOST_FIXTURE_TEST_CASE(order_and_passes_lower_the_metric_or_leave_it, Opened) {
  Values weight = gaussian(1, kRows, kCols), samples = correlated(2, 1200, kCols);
  for (std::int64_t r = 0; r < samples.rows; ++r) {
    for (std::int64_t c = 0; c < 8; ++c) samples.at(r, 31 * c) *= 20;
  }
  for (const octavo_grid& grid : {kGrids[0], kGrids[2]}) {
    const double plain = total(store(*this, optimizer("gptq"), grid, weight, &samples).metric);
    const double ordered =
        total(store(*this, optimizer("gptq", {{"actorder", "true"}}), grid, weight, &samples).metric);
    const double passes =
        total(store(*this, optimizer("gptq", {{"passes", "2"}}), grid, weight, &samples).metric);
    const double both =
        total(store(*this, optimizer("gptq", {{"actorder", "true"}, {"passes", "2"}}), grid, weight, &samples)
                  .metric);
    BOOST_TEST(ordered < plain);
    BOOST_TEST(passes < plain);
    BOOST_TEST(both < ordered);
  }
}

BOOST_FIXTURE_TEST_CASE(without_inputs_it_is_nearest_and_says_so, Opened) {
  Values weight = gaussian(1, kRows, kCols);
  const Stored stored = store(*this, optimizer("quip"), kGrids[0], weight, nullptr);
  BOOST_TEST(stored.preparation.verdict == OCTAVO_VERDICT_NEAREST);
  BOOST_TEST(stored.preparation.reason ==
             "no inputs of it are known, and without them feedback equals nearest");
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t c = 0; c < kCols; ++c)
      BOOST_TEST(int{stored.codes[static_cast<std::size_t>(r * kCols + c)]} ==
                 static_cast<int>(std::nearbyint(weight.at(r, c) / stored.scales.at(r, 0))));
  }
}

BOOST_FIXTURE_TEST_CASE(inputs_without_structure_are_gated, Opened) {
  Values weight = gaussian(1, kRows, kCols), noise = gaussian(2, 600, kCols);
  const Stored stored = store(*this, optimizer("quip"), kGrids[0], weight, &noise);
  BOOST_TEST(stored.preparation.verdict == OCTAVO_VERDICT_NEAREST);
  const std::string& reason = stored.preparation.reason;
  const std::string begin = "on held-out inputs the error of feedback is ";
  BOOST_REQUIRE_MESSAGE(reason.starts_with(begin), reason);
  BOOST_TEST(std::stod(reason.substr(begin.size())) > 100);
}

BOOST_FIXTURE_TEST_CASE(search_takes_the_damping_that_serves_new_inputs, Opened) {
  Values weight = gaussian(1, kRows, kCols), samples = correlated(2, 100, kCols);  // fewer than columns
  const Values fresh = correlated(9, 200, kCols);
  const auto error = [&](const char* damping) {
    const Stored stored =
        store(*this, optimizer("gptq", {{"damping", damping}}), kGrids[0], weight, &samples);
    return output_error(weight, stored, kGrids[0], fresh);
  };
  BOOST_TEST(error("search") <= 1.02 * std::min({error("0.01"), error("0.1"), error("1")}));
}

BOOST_FIXTURE_TEST_CASE(degenerate_inputs_and_weights_end_in_nearest_or_in_something_better, Opened) {
  Values weight = gaussian(1, kRows, kCols);
  for (std::int64_t c = 0; c < kCols; ++c) weight.at(3, c) = 0;               // a row of zeros
  for (std::int64_t r = 0; r < kRows; ++r) weight.at(r, 9) = 0.25f;           // a constant column
  for (std::int64_t c = 0; c < kCols; ++c) weight.at(5, c) = c % 2 ? 1 : -1;  // nothing but the largest code
  Values zeros(64, kCols);
  BOOST_TEST(store(*this, optimizer("quip"), kGrids[0], weight, &zeros).preparation.verdict ==
             OCTAVO_VERDICT_NEAREST);
  Values wrong = correlated(2, 64, kCols);
  wrong.at(5, 5) = std::numeric_limits<float>::infinity();
  BOOST_TEST(store(*this, optimizer("quip"), kGrids[0], weight, &wrong).preparation.verdict ==
             OCTAVO_VERDICT_NEAREST);
  Values few(64, kCols);  // of rank 1
  for (std::int64_t r = 0; r < few.rows; ++r) {
    for (std::int64_t c = 0; c < kCols; ++c) few.at(r, c) = static_cast<float>((r % 7 - 3) * (c % 5 + 1));
  }
  for (const octavo_grid& grid : kGrids) {
    for (const char* damping : {"auto", "search", "0.000000001"}) {
      const Stored stored =
          store(*this, optimizer("quip", {{"damping", damping}, {"passes", "1"}}), grid, weight, &few);
      // Next to no damping leaves room for feedback without bound, which the gate may see through.
      const bool goes = stored.preparation.verdict == OCTAVO_VERDICT_GO;
      BOOST_TEST((goes || damping == std::string("0.000000001")));
      if (goes) BOOST_TEST(total(stored.metric) < total(stored.nearest_metric));
      for (const std::int8_t code : stored.codes) BOOST_TEST((code >= -127));
    }
  }
}

BOOST_FIXTURE_TEST_CASE(whole_layers_in_the_incoherent_basis, Opened) {
  Values weight = gaussian(1, kRows, kCols - 56), samples = correlated(2, 1200, kCols - 56);
  octavo_grid grid = int8_grid(layer_of(kRows, kCols - 56), scale_level(OCTAVO_PER_ROW));
  grid.basis = OCTAVO_BASIS_INCOHERENT;
  grid.basis_seed = 5;
  grid.rows = grid.row_multiple = 128;
  grid.cols = 256;
  const Stored stored = store(*this, optimizer("quip"), grid, weight, &samples);
  BOOST_TEST(stored.preparation.verdict == OCTAVO_VERDICT_GO);
  BOOST_TEST(total(stored.metric) < 0.5 * total(stored.nearest_metric));
  BOOST_TEST(10 * std::log10(stored.signal_sum / stored.error_sum) > 40);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::test
