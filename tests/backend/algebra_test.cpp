// Low-rank merges (bit for bit) and rounding with feedback (by its definition).
#include "backend_under_test.hpp"
#include "reference/operations.hpp"
#include "weights.hpp"

#include <octavo/grid.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <boost/test/unit_test.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <random>
#include <string>

namespace octavo::test {
namespace {

BackendUnderTest& backend() { return BackendUnderTest::get(); }

void compare_merge(HostTensor source, std::int64_t rank, float strength) {
  HostTensor up = gaussian(OCTAVO_F32, source.rows, rank, 1, 3),
             down = gaussian(OCTAVO_F32, rank, source.cols, 2, 5);
  HostTensor target = matrix(OCTAVO_F32, source.rows, source.cols, 1);
  const LaneTensor lane_source(source), lane_up(up), lane_down(down), lane_target(target);
  octavo_error error = empty_error();
  const octavo_tensor s = source.view(), u = up.view(), d = down.view();
  octavo_tensor t = target.view();
  require_ok(reference::operations().merge_low_rank(nullptr, &s, &u, &d, strength, &t, &error), error);
  const octavo_tensor lane_s = lane_source.view(), lane_u = lane_up.view(), lane_d = lane_down.view();
  octavo_tensor lane_t = lane_target.view();
  require_ok(backend().operations().merge_low_rank(backend().lane(), &lane_s, &lane_u, &lane_d, strength,
                                                   &lane_t, &error),
             error);
  BOOST_CHECK_EQUAL(difference(lane_target.bytes(), target.bytes), "");
}

// A block of columns in the middle of a layer, with everything that round_feedback needs.
struct Block {
  octavo_grid grid;
  std::int64_t row_begin, col_begin;
  HostTensor source, fed, factor, scales, pivots;

  // `room` elements between the factor's rows, and twice that between the source's.
  Block(octavo_scale_level level, std::int64_t rows, std::int64_t cols, std::int32_t qmax,
        std::int64_t room = 1)
      : row_begin(level.granularity == OCTAVO_PER_BLOCK ? level.block_rows : 3),
        col_begin(cols),
        source(gaussian(OCTAVO_F32, rows, cols, 5, 2 * room)),
        fed(gaussian(OCTAVO_F32, rows, cols, 6)),
        factor(gaussian(OCTAVO_F32, cols, cols, 7, room)),
        pivots(gaussian(OCTAVO_F32, 1, cols, 9)) {
    octavo_layer layer{};
    layer.rows = row_begin + rows + 2;
    layer.cols = 3 * cols;
    grid = int8_grid(layer, level);
    grid.qmax = qmax;
    grid.qmin = -qmax;
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < cols; ++c) fed.row<float>(r)[c] *= 0.05f;
    }
    for (std::int64_t c = 0; c < cols; ++c)
      pivots.row<float>(0)[c] = 0.1f + std::fabs(pivots.row<float>(0)[c]);
    for (std::int64_t i = 0; i < cols; ++i) {
      for (std::int64_t k = 0; k < cols; ++k) {
        float& entry = factor.row<float>(i)[k];
        entry = i == k ? 1.0f : i > k ? 0.3f * entry : std::nanf("");  // above the diagonal nothing is read
      }
    }
    const ScaleShape shape = scale_shape(level, layer.rows, layer.cols);
    scales = matrix(OCTAVO_F32, shape.rows, shape.cols);
    std::mt19937 random(8);
    std::uniform_real_distribution<float> between(0.8f, 1.2f);
    for (std::int64_t i = 0; i < shape.rows * shape.cols; ++i)
      scales.row<float>(0)[i] = between(random) * 3.0f / static_cast<float>(qmax);
  }

  float scale_at(std::int64_t row, std::int64_t col) {
    const octavo_scale_level& level = grid.scales[0];
    const std::int64_t r = row_begin + row, c = col_begin + col;
    switch (level.granularity) {
      case OCTAVO_PER_TENSOR:
        return *scales.row<float>(0);
      case OCTAVO_PER_BLOCK:
        return scales.row<float>(r / level.block_rows)[c / level.block_cols];
      case OCTAVO_PER_GROUP:
        return scales.row<float>(r)[c / level.block_cols];
      default:
        return *scales.row<float>(r);
    }
  }
};

struct Rounded {
  HostTensor codes, residual, metric;
};

enum class Feedback { none, inside, all };
enum class Residual {
  apart,
  in_place,
  packed
};  // packed: apart, without room between rows, as the codes are

constexpr double kMetricBefore = 2.5;

Rounded round_block(Block& block, Feedback how, Residual where = Residual::apart) {
  const bool in_place = where == Residual::in_place, packed = where == Residual::packed;
  Rounded made{matrix(OCTAVO_I8, block.source.rows, block.source.cols, packed ? 0 : 3),
               matrix(OCTAVO_F32, block.source.rows, block.source.cols, packed ? 0 : 4),
               matrix(OCTAVO_F64, block.source.rows, 1)};
  for (std::int64_t r = 0; r < block.source.rows; ++r) *made.metric.row<double>(r) = kMetricBefore;
  const LaneTensor source(block.source), fed(block.fed), factor(block.factor), scales(block.scales),
      codes(made.codes), residual(made.residual), pivots(block.pivots), metric(made.metric);
  octavo_feedback feedback{};
  feedback.struct_size = sizeof feedback;
  feedback.grid = &block.grid;
  feedback.row_begin = block.row_begin;
  feedback.col_begin = block.col_begin;
  feedback.source = source.view();
  if (how == Feedback::all) feedback.fed = fed.view();
  if (how != Feedback::none) feedback.factor = factor.view();
  feedback.scales = scales.view();
  feedback.codes = codes.view();
  feedback.residual = in_place ? source.view() : residual.view();
  feedback.pivots = pivots.view();
  feedback.metric = metric.view();
  octavo_error error = empty_error();
  require_ok(backend().operations().round_feedback(backend().lane(), &feedback, &error), error);
  made.codes.bytes = codes.bytes();
  if (in_place) made.residual = block.source;
  made.residual.bytes = in_place ? source.bytes() : residual.bytes();
  made.metric.bytes = metric.bytes();
  return made;
}

// What is rounded at [r, k], by definition in f64 from the residuals that the backend wrote.
struct Fed {
  double value, magnitude = std::fabs(value);  // magnitude: of all that is summed

  Fed(Block& block, Rounded& made, std::int64_t r, std::int64_t k, Feedback how)
      : value(double{block.source.row<float>(r)[k]} +
              (how == Feedback::all ? double{block.fed.row<float>(r)[k]} : 0.0)) {
    for (std::int64_t i = k + 1; i < block.source.cols && how != Feedback::none; ++i) {
      const double term = double{made.residual.row<float>(r)[i]} * double{block.factor.row<float>(i)[k]};
      value += term;
      magnitude += std::fabs(term);
    }
  }
};

double code_near(const Block& block, double quotient) {
  return std::clamp(std::nearbyint(quotient), double(block.grid.qmin), double(block.grid.qmax));
}

// From the residuals that the backend wrote: every code is the rounding of its own feedback, in f64, unless
// that lies within the rounding of an f32 sum of a tie. The metric is that of these residuals.
void check_definition(Block& block, Rounded& made, Feedback how) {
  for (std::int64_t r = 0; r < block.source.rows; ++r) {
    double metric = kMetricBefore;
    for (std::int64_t k = 0; k < block.source.cols; ++k) {
      const auto [f, magnitude] = Fed(block, made, r, k, how);
      const double scale = block.scale_at(r, k), t = f / scale, code = made.codes.row<std::int8_t>(r)[k];
      const double doubt = 1e-5 * magnitude / scale + 1e-6;
      BOOST_REQUIRE_MESSAGE(code >= code_near(block, t - doubt) && code <= code_near(block, t + doubt),
                            fmt::format("[{}, {}]: code {} for {}", r, k, code, t));
      const double left = double{block.source.row<float>(r)[k]} - code * scale;
      BOOST_REQUIRE_SMALL(left - double{made.residual.row<float>(r)[k]},
                          1e-6 * (std::fabs(code * scale) + 1.0));
      metric += block.pivots.row<float>(0)[k] * (f - code * scale) * (f - code * scale);
    }
    BOOST_REQUIRE_CLOSE_FRACTION(*made.metric.row<double>(r), metric, 1e-4);
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(algebra)

BOOST_AUTO_TEST_CASE(low_rank_merge) {
  for (const std::uint32_t dtype : kWeightDtypes) {
    for (const std::int64_t rank : {1, 3, 16, 65}) {
      BOOST_TEST_CONTEXT(dtype_name(dtype) << ", rank " << rank) {
        compare_merge(weights(Weights::gaussian, dtype, 7, 131, 2), rank, 0.7f);
        compare_merge(weights(Weights::gaussian, dtype, 1, 1), rank, -1.0f);
        compare_merge(weights(Weights::gaussian, dtype, 37, 64), rank, 1.0f);
        compare_merge(weights(Weights::gaussian, dtype, 4, 517), rank, 1e-3f);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(rounding_with_feedback) {
  const std::pair<const char*, octavo_scale_level> levels[] = {
      {"row", scale_level(OCTAVO_PER_ROW)},
      {"tensor", scale_level(OCTAVO_PER_TENSOR)},
      {"block 16", scale_level(OCTAVO_PER_BLOCK, 16, 16)},
      {"group 32", scale_level(OCTAVO_PER_GROUP, 0, 32)}};
  for (const auto& [name, level] : levels) {
    for (const auto& [rows, cols] :
         {std::pair{1, 1}, {1, 128}, {16, 128}, {37, 128}, {5, 61}, {33, 7}, {64, 8}, {33, 32}, {5, 288}}) {
      for (const std::int32_t qmax : {127, 7}) {
        BOOST_TEST_CONTEXT(name << ", " << rows << " x " << cols << ", codes to " << qmax) {
          Block block(level, rows, cols, qmax);
          for (const Feedback how : {Feedback::none, Feedback::inside, Feedback::all}) {
            Rounded made = round_block(block, how);
            check_definition(block, made, how);
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(rounding_with_feedback_of_whole_lines) {
  for (const auto& [rows, cols] : {std::pair{100, 256}, {33, 224}, {5, 60}}) {
    for (const octavo_scale_level& level :
         {scale_level(OCTAVO_PER_ROW), scale_level(OCTAVO_PER_BLOCK, 16, 16)}) {
      BOOST_TEST_CONTEXT(rows << " x " << cols << ", granularity " << level.granularity) {
        Block block(level, rows, cols, 127, 0);
        for (const Feedback how : {Feedback::inside, Feedback::all}) {
          Rounded made = round_block(block, how, Residual::packed);
          check_definition(block, made, how);
        }
      }
    }
  }
}

// Those of rows that are zero or nearly, the formats' floor (1e-30) among them.
BOOST_AUTO_TEST_CASE(rows_with_scales_of_any_size) {
  constexpr float kScales[] = {0.0f, 1e-38f, 1e-36f, 1e-30f, 1.1e-30f, 1e29f, 1e30f, 1e32f};
  constexpr std::int64_t kRows = std::size(kScales);
  for (const std::int64_t cols : {64, 61}) {  // whole strips of a kernel, and not
    Block block(scale_level(OCTAVO_PER_ROW), kRows, cols, 127);
    for (std::int64_t r = 0; r < kRows; ++r) {
      *block.scales.row<float>(block.row_begin + r) = kScales[r];
      const float size = kScales[r] == 0 ? 1.0f : kScales[r];
      for (std::int64_t c = 0; c < cols; ++c) {
        block.source.row<float>(r)[c] *= 1000.0f * size;
        block.fed.row<float>(r)[c] *= 1000.0f * size;
      }
    }
    Rounded made = round_block(block, Feedback::all);
    for (std::int64_t r = 0; r < kRows; ++r) {
      std::int64_t nonzero = 0;
      for (std::int64_t k = 0; k < cols; ++k) {
        const double scale = kScales[r], code = made.codes.row<std::int8_t>(r)[k];
        const auto [f, magnitude] = Fed(block, made, r, k, Feedback::all);
        nonzero += code != 0 ? 1 : 0;
        if (scale == 0) continue;
        const double doubt = 1e-5 * magnitude / scale + 1e-3;  // subnormal values have few bits
        BOOST_TEST(code >= code_near(block, f / scale - doubt));
        BOOST_TEST(code <= code_near(block, f / scale + doubt));
      }
      BOOST_TEST((kScales[r] == 0 ? nonzero == 0 : nonzero > cols / 2), "scale " << kScales[r]);
    }
  }
}

BOOST_AUTO_TEST_CASE(columns_without_feedback_may_be_many) {
  Block block(scale_level(OCTAVO_PER_ROW), 19, 700, 127);
  Rounded made = round_block(block, Feedback::none);
  check_definition(block, made, Feedback::none);
}

BOOST_AUTO_TEST_CASE(residuals_may_take_the_place_of_the_source) {
  for (const auto& [rows, cols] : {std::pair{37, 128}, {5, 61}, {19, 700}}) {
    Block block(scale_level(OCTAVO_PER_ROW), rows, cols, 127);
    for (const Feedback how : {Feedback::none, Feedback::inside, Feedback::all}) {
      Rounded apart = round_block(block, how), in_place = round_block(block, how, Residual::in_place);
      BOOST_CHECK_EQUAL(difference(in_place.codes.bytes, apart.codes.bytes), "");
      BOOST_CHECK_EQUAL(difference(in_place.metric.bytes, apart.metric.bytes), "");
      for (std::int64_t r = 0; r < rows; ++r) {
        const float* expected = apart.residual.row<float>(r);
        BOOST_TEST(std::equal(expected, expected + cols, in_place.residual.row<float>(r)), "row " << r);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(metric_of_rows) {
  for (const auto& [rows, cols] : {std::pair{1, 1}, {70, 128}, {3, 1031}, {300, 33}}) {
    HostTensor x = gaussian(OCTAVO_F32, rows, cols, 3, 5), pivots = gaussian(OCTAVO_F32, 1, cols, 4);
    HostTensor metric = matrix(OCTAVO_F64, rows, 1);
    for (std::int64_t r = 0; r < rows; ++r) *metric.row<double>(r) = static_cast<double>(r);
    const LaneTensor lane_x(x), lane_pivots(pivots), lane_metric(metric);
    const octavo_tensor values = lane_x.view(), weights = lane_pivots.view();
    octavo_tensor sums = lane_metric.view();
    octavo_error error = empty_error();
    require_ok(backend().operations().row_metric(backend().lane(), &values, &weights, &sums, &error), error);
    metric.bytes = lane_metric.bytes();
    for (std::int64_t r = 0; r < rows; ++r) {
      double expected = static_cast<double>(r), magnitude = expected;
      for (std::int64_t k = 0; k < cols; ++k) {
        const double term = double{pivots.row<float>(0)[k]} * x.row<float>(r)[k] * x.row<float>(r)[k];
        expected += term;
        magnitude += std::fabs(term);
      }
      BOOST_REQUIRE_SMALL(*metric.row<double>(r) - expected, 1e-12 * magnitude);
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::test
