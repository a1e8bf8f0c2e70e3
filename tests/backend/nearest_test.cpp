// Nearest and absmax against the reference: bit for bit, counts exactly, sums to f32 accuracy.
#include "backend_under_test.hpp"
#include "reference/operations.hpp"
#include "weights.hpp"

#include <octavo/grid.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <boost/test/unit_test.hpp>
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace octavo::test {
namespace {

struct Layout {
  std::string name;
  octavo_scale_level level;
  std::int64_t rotation;  // 0: plain
};

const std::vector<Layout>& layouts() {
  static const std::vector<Layout> all = {
      {"row", scale_level(OCTAVO_PER_ROW), 0},
      {"tensor", scale_level(OCTAVO_PER_TENSOR), 0},
      {"block 128", scale_level(OCTAVO_PER_BLOCK, 128, 128), 0},
      {"block 3 x 20", scale_level(OCTAVO_PER_BLOCK, 3, 20), 0},
      {"group 32", scale_level(OCTAVO_PER_GROUP, 0, 32), 0},
      {"convrot 256", scale_level(OCTAVO_PER_ROW), 256},
      {"convrot 64", scale_level(OCTAVO_PER_ROW), 64},
      {"convrot 16", scale_level(OCTAVO_PER_ROW), 16},
      {"convrot 4", scale_level(OCTAVO_PER_ROW), 4},
      {"convrot 256, tensor", scale_level(OCTAVO_PER_TENSOR), 256},
  };
  return all;
}

octavo_grid grid_for(const Layout& layout, std::int64_t rows, std::int64_t cols) {
  octavo_layer layer{};
  layer.rows = rows;
  layer.cols = cols;
  octavo_grid grid = int8_grid(layer, layout.level);
  if (layout.rotation != 0) {
    grid.basis = OCTAVO_BASIS_CONVROT;
    grid.basis_group = layout.rotation;
  }
  return grid;
}

struct Outcome {
  octavo_tile_result result{};
  std::vector<std::uint8_t> codes, scales;
  std::vector<double> row_metric;
};

octavo_tile_result empty_result(std::vector<double>& row_metric) {
  octavo_tile_result result{};
  result.struct_size = sizeof result;
  if (!row_metric.empty()) result.row_metric = row_metric.data();
  return result;
}

octavo_tile tile_of(const octavo_grid& grid, octavo_tensor source, octavo_tensor codes, octavo_tensor scales,
                    std::uint32_t flags, float absmax) {
  octavo_tile tile = tile_with(grid, source, codes, needs_layer_absmax(grid) ? octavo_tensor{} : scales);
  tile.flags = flags;
  tile.absmax = absmax;
  return tile;
}

struct Job {
  octavo_grid grid;
  HostTensor source;
  std::uint32_t flags = 0;
  bool row_metric = false;
  std::int64_t room = 0;

  HostTensor codes() const { return matrix(grid.stored_dtype, source.rows, source.cols, room); }
  HostTensor scales() const {
    if (needs_layer_absmax(grid)) return matrix(OCTAVO_F32, 1, 1);
    const ScaleShape shape = scale_shape(grid.scales[0], source.rows, source.cols);
    return matrix(OCTAVO_F32, shape.rows, shape.cols, room);
  }
  std::vector<double> metric() const {
    return std::vector<double>(row_metric ? static_cast<std::size_t>(source.rows) : 0, -1.0);
  }
};

octavo_absmax_result absmax_by_reference(Job& job) {
  octavo_absmax_result result{};
  result.struct_size = sizeof result;
  octavo_error error = empty_error();
  const octavo_tensor view = job.source.view();
  require_ok(reference::operations().absmax(nullptr, &job.grid, &view, job.flags, &result, &error), error);
  return result;
}

Outcome run_reference(Job& job, float absmax) {
  Outcome outcome;
  HostTensor codes = job.codes(), scales = job.scales();
  outcome.row_metric = job.metric();
  outcome.result = empty_result(outcome.row_metric);
  const octavo_tile tile =
      tile_of(job.grid, job.source.view(), codes.view(), scales.view(), job.flags, absmax);
  octavo_error error = empty_error();
  require_ok(reference::operations().quantize_nearest(nullptr, &tile, &outcome.result, &error), error);
  outcome.codes = codes.bytes;
  outcome.scales = scales.bytes;
  return outcome;
}

Outcome run_backend(Job& job, float absmax) {
  BackendUnderTest& backend = BackendUnderTest::get();
  Outcome outcome;
  const LaneTensor source(job.source), codes(job.codes()), scales(job.scales());
  outcome.row_metric = job.metric();
  outcome.result = empty_result(outcome.row_metric);
  const octavo_tile tile = tile_of(job.grid, source.view(), codes.view(), scales.view(), job.flags, absmax);
  octavo_error error = empty_error();
  require_ok(backend.operations().quantize_nearest(backend.lane(), &tile, &outcome.result, &error), error);
  backend.finish();
  outcome.codes = codes.bytes();
  outcome.scales = scales.bytes();
  return outcome;
}

void check_close(const char* what, double found, double expected, double tolerance) {
  BOOST_CHECK_MESSAGE(std::fabs(found - expected) <= tolerance,
                      fmt::format("{}: {} instead of {}", what, found, expected));
}

// `absmax`: of the layer. Errors come from t = w / s in f32: where they are far below a step, they are as
// large as the rounding of t.
void check_same(const Outcome& found, const Outcome& expected, float absmax) {
  BOOST_CHECK_EQUAL(difference(found.codes, expected.codes), "");
  BOOST_CHECK_EQUAL(difference(found.scales, expected.scales), "");
  BOOST_CHECK_EQUAL(found.result.nonfinite_count, expected.result.nonfinite_count);
  BOOST_CHECK_EQUAL(found.result.nonfinite_first, expected.result.nonfinite_first);
  BOOST_CHECK_EQUAL(found.result.floored_rows, expected.result.floored_rows);
  BOOST_CHECK_EQUAL(found.result.overflow_count, expected.result.overflow_count);
  BOOST_CHECK_EQUAL(found.result.underflow_count, expected.result.underflow_count);
  const double signal = expected.result.signal_sum;
  const double rounding = 1e-13 * signal;
  check_close("signal_sum", found.result.signal_sum, signal, 1e-5 * signal);
  check_close("error_sum", found.result.error_sum, expected.result.error_sum,
              1e-3 * expected.result.error_sum + rounding);
  check_close("max_error", found.result.max_error, expected.result.max_error,
              1e-4 * double{expected.result.max_error} + 3e-7 * double{absmax});
  for (std::size_t r = 0; r < expected.row_metric.size(); ++r)
    check_close("row_metric", found.row_metric[r], expected.row_metric[r],
                1e-3 * expected.row_metric[r] + rounding);
}

void compare(Job job) {
  const octavo_absmax_result known = absmax_by_reference(job);
  check_same(run_backend(job, known.absmax), run_reference(job, known.absmax), known.absmax);
}

struct Shape {
  std::int64_t rows, cols;
};

// Odd sizes in both directions, around the kernels' step of 64 and the blocks of 128.
constexpr Shape kShapes[] = {{1, 1}, {1, 257}, {61, 1}, {7, 13}, {3, 257}, {5, 64}, {2, 127}, {4, 1021}};
constexpr Shape kBlockShapes[] = {{128, 128}, {131, 257}, {256, 384}, {1, 300}};

template <typename Body>
void for_each_case(const Layout& layout, Body body) {
  for (const std::uint32_t dtype : kWeightDtypes) {
    for (const Weights kind : kAllWeights) {
      if (kind == Weights::huge && layout.rotation != 0) continue;
      BOOST_TEST_CONTEXT(layout.name << ", " << dtype_name(dtype) << ", " << name_of(kind)) {
        body(dtype, kind);
      }
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(nearest)

BOOST_AUTO_TEST_CASE(every_layout_and_dtype_on_odd_shapes) {
  for (const Layout& layout : layouts()) {
    for_each_case(layout, [&](std::uint32_t dtype, Weights kind) {
      for (const Shape& shape : kShapes) {
        const std::int64_t unit = layout.rotation == 0 ? 1 : layout.rotation;
        const std::int64_t cols = layout.rotation == 0 ? shape.cols : (1 + shape.cols % 3) * unit;
        BOOST_TEST_CONTEXT(shape.rows << " x " << cols) {
          compare({grid_for(layout, shape.rows, cols), weights(kind, dtype, shape.rows, cols), 0, false, 0});
        }
      }
    });
  }
}

BOOST_AUTO_TEST_CASE(blocks_with_ragged_edges) {
  for (const Layout& layout : layouts()) {
    if (layout.level.granularity != OCTAVO_PER_BLOCK) continue;
    for_each_case(layout, [&](std::uint32_t dtype, Weights kind) {
      if (kind != Weights::gaussian && kind != Weights::ties && kind != Weights::any_bits) return;
      for (const Shape& shape : kBlockShapes)
        compare({grid_for(layout, shape.rows, shape.cols), weights(kind, dtype, shape.rows, shape.cols), 0,
                 false, 0});
    });
  }
}

BOOST_AUTO_TEST_CASE(rows_apart_in_memory_and_row_metrics) {
  for (const Layout& layout : layouts()) {
    for (const std::uint32_t dtype : kWeightDtypes) {
      BOOST_TEST_CONTEXT(layout.name << ", " << dtype_name(dtype)) {
        compare({grid_for(layout, 9, 512), weights(Weights::gaussian, dtype, 9, 512, 24), 0, true, 40});
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(long_rows) {
  for (const Layout& layout : layouts()) {
    for (const std::uint32_t dtype : {OCTAVO_F32, OCTAVO_BF16, OCTAVO_F16}) {
      BOOST_TEST_CONTEXT(layout.name << ", " << dtype_name(dtype)) {
        compare({grid_for(layout, 2, 15360), weights(Weights::heavy_tails, dtype, 2, 15360), 0, false, 0});
      }
    }
  }
}

// So many rows that a device takes them in turns, of one panel of columns to a dozen.
BOOST_AUTO_TEST_CASE(rows_in_turns) {
  constexpr Shape kManyRows[] = {{1200, 3072}, {1200, 2816}, {3000, 1024}, {700, 5120},
                                 {500, 9728},  {700, 10240}, {300, 12288}, {300, 15360}};
  for (const Layout& layout : layouts()) {
    if (layout.level.granularity != OCTAVO_PER_ROW || layout.rotation < 64) continue;
    for (const Shape& shape : kManyRows) {
      for (const std::uint32_t dtype : {OCTAVO_BF16, OCTAVO_F16, OCTAVO_F32}) {
        const bool is_usual = dtype == OCTAVO_BF16 && layout.rotation == 256;
        if (shape.cols != 3072 && !is_usual) continue;
        BOOST_TEST_CONTEXT(layout.name << ", " << dtype_name(dtype) << ", " << shape.rows << " x "
                                       << shape.cols) {
          compare({grid_for(layout, shape.rows, shape.cols),
                   weights(Weights::heavy_tails, dtype, shape.rows, shape.cols), 0, shape.cols % 1024 != 0,
                   0});
        }
      }
    }
  }
}

// Every bf16, f16 and 8-bit pattern: infinities and NaN are counted, found, and count as 0.
BOOST_AUTO_TEST_CASE(every_bit_pattern) {
  for (const Layout& layout : layouts()) {
    for (const std::uint32_t dtype : kWeightDtypes) {
      if (dtype == OCTAVO_F64 || dtype == OCTAVO_F32) continue;
      for (const std::uint32_t flags : {0u, OCTAVO_TILE_ZERO_NONFINITE}) {
        BOOST_TEST_CONTEXT(layout.name << ", " << dtype_name(dtype) << ", flags " << flags) {
          HostTensor source = every_pattern(dtype);
          compare({grid_for(layout, source.rows, source.cols), source, flags, false, 0});
        }
      }
    }
  }
}

// Values of one row each: infinities, NaN, an f64 beyond f32, and in a rotated basis 2^118.
BOOST_AUTO_TEST_CASE(what_cannot_be_quantized_is_counted) {
  const double bad[] = {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
                        std::numeric_limits<double>::quiet_NaN(), 0x1p118, -0x1p118};
  for (const Layout& layout : layouts()) {
    for (const std::uint32_t dtype : {OCTAVO_F64, OCTAVO_F32, OCTAVO_BF16}) {
      HostTensor source = weights(Weights::gaussian, dtype, 7, 256);
      for (std::int64_t i = 0; i < 5; ++i) {
        const std::int64_t at = (i + 1) * source.stride + 31 * i;
        if (dtype == OCTAVO_F64) source.row<double>(0)[at] = i == 3 ? 1e300 : bad[i];
        if (dtype == OCTAVO_F32) source.row<float>(0)[at] = static_cast<float>(bad[i]);
        if (dtype == OCTAVO_BF16) source.row<std::uint16_t>(0)[at] = to_bf16(static_cast<float>(bad[i]));
      }
      BOOST_TEST_CONTEXT(layout.name << ", " << dtype_name(dtype)) {
        compare({grid_for(layout, 7, 256), source, 0, false, 0});
      }
    }
  }
}

// Scales so small or large that their reciprocal is inexact, subnormal or beyond f32.
BOOST_AUTO_TEST_CASE(extreme_scales) {
  for (const float largest : {0x1p-149f, 0x1p-126f, 1e-38f, 1e-30f, 1.27e-28f, 1e-20f, 1e30f, 3e38f,
                              std::numeric_limits<float>::max()}) {
    for (const std::int32_t qmax : {1, 7, 127}) {
      HostTensor source = weights(Weights::gaussian, OCTAVO_F32, 3, 130);
      for (std::int64_t i = 0; i < 390; ++i)
        source.row<float>(0)[i] = largest * std::min(1.0f, std::max(-1.0f, source.row<float>(0)[i] * 20.0f));
      source.row<float>(0)[7] = source.row<float>(1)[8] = source.row<float>(2)[9] = largest;
      octavo_grid grid = grid_for(layouts()[0], 3, 130);
      grid.qmax = qmax;
      grid.qmin = -qmax;
      BOOST_TEST_CONTEXT("largest " << largest << ", codes to " << qmax) {
        compare({grid, source, 0, false, 0});
      }
    }
  }
}

// The layer's absmax is smaller than what the tile holds: codes are clamped.
BOOST_AUTO_TEST_CASE(codes_are_clamped) {
  for (const char* name : {"tensor", "convrot 256, tensor"}) {
    for (const Layout& layout : layouts()) {
      if (layout.name != name) continue;
      Job job{grid_for(layout, 4, 512), weights(Weights::heavy_tails, OCTAVO_BF16, 4, 512), 0, false, 0};
      const float absmax = absmax_by_reference(job).absmax;
      check_same(run_backend(job, absmax / 2), run_reference(job, absmax / 2), absmax);
    }
  }
}

BOOST_AUTO_TEST_CASE(absmax_of_a_layer) {
  BackendUnderTest& backend = BackendUnderTest::get();
  const auto check_absmax = [&](Job job, const octavo_grid* grid) {
    octavo_absmax_result expected{}, found{};
    expected.struct_size = found.struct_size = sizeof found;
    octavo_error error = empty_error();
    const octavo_tensor view = job.source.view();
    require_ok(reference::operations().absmax(nullptr, grid, &view, 0, &expected, &error), error);
    const LaneTensor source(job.source);
    const octavo_tensor in_lane = source.view();
    require_ok(backend.operations().absmax(backend.lane(), grid, &in_lane, 0, &found, &error), error);
    backend.finish();
    BOOST_CHECK_EQUAL(found.absmax, expected.absmax);
    BOOST_CHECK_EQUAL(found.nonfinite_count, expected.nonfinite_count);
    BOOST_CHECK_EQUAL(found.nonfinite_first, expected.nonfinite_first);
    BOOST_CHECK_EQUAL(found.overflow_count, expected.overflow_count);
  };
  for (const Layout& layout : layouts()) {
    for (const std::uint32_t dtype : kWeightDtypes) {
      BOOST_TEST_CONTEXT(layout.name << ", " << dtype_name(dtype)) {
        Job job{grid_for(layout, 5, 768), weights(Weights::heavy_tails, dtype, 5, 768, 8), 0, false, 0};
        check_absmax(job, &job.grid);
        check_absmax(job, nullptr);
        Job patterns{job.grid, bytes_of(dtype) <= 2 ? every_pattern(dtype) : job.source, 0, false, 0};
        patterns.grid.cols = patterns.source.cols;
        check_absmax(patterns, &patterns.grid);
      }
    }
  }
  octavo_layer layer{};
  layer.rows = 5;
  layer.cols = 768;
  octavo_grid cast = cast_grid(layer, OCTAVO_F16);
  check_absmax({cast, weights(Weights::any_bits, OCTAVO_F32, 5, 768), 0, false, 0}, &cast);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::test
