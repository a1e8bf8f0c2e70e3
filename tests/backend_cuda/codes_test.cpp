// Grids beyond INT8, casts, bases and dequantize against the reference, bit for bit.
#include "backend_under_test.hpp"
#include "reference/operations.hpp"
#include "weights.hpp"

#include <octavo/grid.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <boost/test/unit_test.hpp>
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

namespace octavo::test {
namespace {

struct Named {
  std::string name;
  octavo_grid grid;
};

octavo_scale_level level_of(octavo_granularity granularity, std::uint32_t dtype, std::uint32_t rule,
                            std::int64_t block_rows = 0, std::int64_t block_cols = 0) {
  octavo_scale_level level = scale_level(granularity, block_rows, block_cols);
  level.dtype = dtype;
  level.rule = rule;
  return level;
}

octavo_grid grid_of(octavo_code code, octavo_dtype stored, std::int32_t qmin, std::int32_t qmax,
                    const octavo_scale_level& level) {
  octavo_layer layer{};
  octavo_grid grid = int8_grid(layer, level);
  grid.code = code;
  grid.stored_dtype = stored;
  grid.qmin = qmin;
  grid.qmax = qmax;
  return grid;
}

octavo_grid two_levels(octavo_grid grid, const octavo_scale_level& outer) {
  grid.scale_levels = 2;
  grid.scales[1] = outer;
  return grid;
}

octavo_grid with_zero(octavo_grid grid, octavo_dtype dtype) {
  grid.code = OCTAVO_CODE_INTEGER_ZERO;
  grid.zero_point_dtype = dtype;
  return grid;
}

const std::vector<Named>& grids() {
  const auto row = scale_level(OCTAVO_PER_ROW);
  const auto group = level_of(OCTAVO_PER_GROUP, OCTAVO_F16, OCTAVO_SCALE_ABSMAX, 0, 32);
  const auto pow2 = level_of(OCTAVO_PER_GROUP, OCTAVO_F8_E8M0, OCTAVO_SCALE_ABSMAX_POW2, 0, 32);
  const auto e4m3 = level_of(OCTAVO_PER_GROUP, OCTAVO_F8_E4M3, OCTAVO_SCALE_ABSMAX, 0, 16);
  const auto range = level_of(OCTAVO_PER_GROUP, OCTAVO_F16, OCTAVO_SCALE_RANGE, 0, 64);
  const auto block_range = level_of(OCTAVO_PER_BLOCK, OCTAVO_F32, OCTAVO_SCALE_RANGE, 4, 24);
  static const std::vector<Named> all = {
      {"E4M3 rows", grid_of(OCTAVO_CODE_E4M3, OCTAVO_F8_E4M3, 0, 0, row)},
      {"E5M2 tensor", grid_of(OCTAVO_CODE_E5M2, OCTAVO_F8_E5M2, 0, 0, scale_level(OCTAVO_PER_TENSOR))},
      {"E4M3 with powers of two", grid_of(OCTAVO_CODE_E4M3, OCTAVO_F8_E4M3, 0, 0, pow2)},
      {"E2M1 with E4M3 scales and a tensor's",
       two_levels(grid_of(OCTAVO_CODE_E2M1, OCTAVO_U8, 0, 0, e4m3), scale_level(OCTAVO_PER_TENSOR))},
      {"I16 in f16 groups", grid_of(OCTAVO_CODE_INTEGER, OCTAVO_I16, -2047, 2047, group)},
      {"I8 groups within rows", two_levels(grid_of(OCTAVO_CODE_INTEGER, OCTAVO_I8, -127, 127, group), row)},
      {"U8 with zero points", with_zero(grid_of(OCTAVO_CODE_INTEGER, OCTAVO_U8, 0, 15, range), OCTAVO_U8)},
      {"I8 blocks with zero points",
       with_zero(grid_of(OCTAVO_CODE_INTEGER, OCTAVO_I8, -128, 127, block_range), OCTAVO_F32)},
  };
  return all;
}

// The tensors of a tile, on one side.
template <typename Tensor>
struct Parts {
  Tensor source, codes, inner, outer, zero;
};

octavo_tile tile_over(const octavo_grid& grid, octavo_tensor source, octavo_tensor codes, octavo_tensor inner,
                      octavo_tensor outer, octavo_tensor zero, float absmax) {
  octavo_tile tile = tile_with(grid, source, codes, inner);
  if (grid.scale_levels == 2) tile.scales[1] = outer;
  if (grid.code == OCTAVO_CODE_INTEGER_ZERO) tile.zero_points = zero;
  tile.absmax = absmax;
  return tile;
}

HostTensor scales_of(const octavo_grid& grid, std::uint32_t index, std::int64_t rows, std::int64_t cols,
                     float absmax) {
  if (index >= grid.scale_levels) return matrix(OCTAVO_F32, 1, 1);
  const octavo_scale_level& level = grid.scales[index];
  const ScaleShape shape = scale_shape(level, rows, cols);
  HostTensor made = matrix(level.dtype, shape.rows, shape.cols);
  // A tensor's scale is the caller's to store: dequantize reads it.
  if (level.granularity == OCTAVO_PER_TENSOR) {
    const float limit = grid.code == OCTAVO_CODE_E5M2   ? 57344.0f
                        : grid.code == OCTAVO_CODE_E2M1 ? 6.0f * 448.0f
                                                        : 127.0f;
    *made.row<float>(0) = std::max(absmax / limit, level.floor);
  }
  return made;
}

octavo_absmax_result absmax_of(const octavo_grid& grid, HostTensor& source) {
  octavo_absmax_result found{};
  found.struct_size = sizeof found;
  octavo_error error = empty_error();
  const octavo_tensor view = source.view();
  require_ok(reference::operations().absmax(nullptr, &grid, &view, 0, &found, &error), error);
  return found;
}

void check_close(const char* what, double found, double expected, double tolerance) {
  BOOST_CHECK_MESSAGE(std::fabs(found - expected) <= tolerance,
                      fmt::format("{}: {} instead of {}", what, found, expected));
}

// Quantizes on both sides and dequantizes what came out, with and without undoing the basis.
void compare_grid(const octavo_grid& grid, HostTensor source) {
  BackendUnderTest& backend = BackendUnderTest::get();
  const std::int64_t rows = source.rows, cols = source.cols;
  const float absmax = needs_layer_absmax(grid) ? absmax_of(grid, source).absmax : 0.0f;
  HostTensor codes = matrix(grid.stored_dtype, rows, cols, 3), inner = scales_of(grid, 0, rows, cols, absmax),
             outer = scales_of(grid, 1, rows, cols, absmax);
  const ScaleShape cells = scale_shape(grid.scales[0], rows, cols);
  const bool zeros = grid.code == OCTAVO_CODE_INTEGER_ZERO;
  HostTensor zero = matrix(zeros ? grid.zero_point_dtype : std::uint32_t{OCTAVO_F32}, cells.rows, cells.cols);
  const LaneTensor lane_source(source), lane_codes(codes), lane_inner(inner), lane_outer(outer),
      lane_zero(zero);
  octavo_error error = empty_error();
  octavo_tile_result expected{}, found{};
  expected.struct_size = found.struct_size = sizeof found;
  const octavo_tile tile =
      tile_over(grid, source.view(), codes.view(), inner.view(), outer.view(), zero.view(), absmax);
  require_ok(reference::operations().quantize_nearest(nullptr, &tile, &expected, &error), error);
  const octavo_tile lane_tile = tile_over(grid, lane_source.view(), lane_codes.view(), lane_inner.view(),
                                          lane_outer.view(), lane_zero.view(), absmax);
  require_ok(backend.operations().quantize_nearest(backend.lane(), &lane_tile, &found, &error), error);
  backend.finish();
  BOOST_CHECK_EQUAL(difference(lane_codes.bytes(), codes.bytes), "");
  BOOST_CHECK_EQUAL(difference(lane_inner.bytes(), inner.bytes), "");
  BOOST_CHECK_EQUAL(difference(lane_outer.bytes(), outer.bytes), "");
  if (zeros) BOOST_CHECK_EQUAL(difference(lane_zero.bytes(), zero.bytes), "");
  BOOST_CHECK_EQUAL(found.nonfinite_count, expected.nonfinite_count);
  BOOST_CHECK_EQUAL(found.floored_rows, expected.floored_rows);
  check_close("signal_sum", found.signal_sum, expected.signal_sum, 1e-9 * expected.signal_sum);
  check_close("error_sum", found.error_sum, expected.error_sum, 1e-9 * expected.error_sum);
  BOOST_CHECK_EQUAL(found.max_error, expected.max_error);
  for (const std::uint32_t plain : {0u, 1u}) {
    HostTensor values = matrix(OCTAVO_F32, rows, cols, 5);
    const LaneTensor lane_values(values);
    octavo_tensor target = values.view(), lane_target = lane_values.view();
    require_ok(reference::operations().dequantize(nullptr, &tile, plain, &target, &error), error);
    require_ok(backend.operations().dequantize(backend.lane(), &lane_tile, plain, &lane_target, &error),
               error);
    BOOST_CHECK_EQUAL(difference(lane_values.bytes(), values.bytes), "");
  }
}

// Every finite pattern of a dtype as one row, then what the row has too little to be a multiple of `unit`.
HostTensor source_for(std::uint32_t dtype, Weights kind, std::int64_t rows, std::int64_t cols) {
  return weights(kind, dtype, rows, cols, 1);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(codes)

BOOST_AUTO_TEST_CASE(grids_of_every_kind) {
  for (const Named& named : grids()) {
    for (const std::uint32_t dtype : {OCTAVO_F32, OCTAVO_BF16, OCTAVO_F64}) {
      for (const Weights kind : {Weights::gaussian, Weights::heavy_tails, Weights::ties, Weights::any_bits,
                                 Weights::subnormal, Weights::zeros}) {
        BOOST_TEST_CONTEXT(named.name << ", " << dtype_name(dtype) << ", " << name_of(kind)) {
          compare_grid(named.grid, source_for(dtype, kind, 7, 67));
          compare_grid(named.grid, source_for(dtype, kind, 13, 1153));
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(rotated_grids_of_every_kind) {
  for (const Named& named : grids()) {
    octavo_grid grid = named.grid;
    grid.basis = OCTAVO_BASIS_CONVROT;
    for (const std::int64_t group : {4, 16, 64, 256}) {
      grid.basis_group = group;
      BOOST_TEST_CONTEXT(named.name << ", groups of " << group) {
        compare_grid(grid, source_for(OCTAVO_BF16, Weights::heavy_tails, 5, 3 * group));
      }
    }
  }
}

// The layer is smaller than the codes: rows and columns are padded with zeros before the rotation.
BOOST_AUTO_TEST_CASE(padded_codes) {
  BackendUnderTest& backend = BackendUnderTest::get();
  octavo_layer layer{};
  octavo_grid grid = int8_grid(layer, scale_level(OCTAVO_PER_ROW));
  grid.basis = OCTAVO_BASIS_CONVROT;
  grid.basis_group = 64;
  HostTensor source = weights(Weights::gaussian, OCTAVO_F32, 5, 100), codes = matrix(OCTAVO_I8, 8, 128),
             scales = matrix(OCTAVO_F32, 8, 1);
  const LaneTensor lane_source(source), lane_codes(codes), lane_scales(scales);
  std::vector<double> expected_rows(5, -1.0), found_rows(5, -1.0);
  octavo_tile_result expected{}, found{};
  expected.struct_size = found.struct_size = sizeof found;
  expected.row_metric = expected_rows.data();
  found.row_metric = found_rows.data();
  octavo_error error = empty_error();
  const octavo_tile tile = tile_over(grid, source.view(), codes.view(), scales.view(), {}, {}, 0.0f);
  require_ok(reference::operations().quantize_nearest(nullptr, &tile, &expected, &error), error);
  const octavo_tile lane_tile =
      tile_over(grid, lane_source.view(), lane_codes.view(), lane_scales.view(), {}, {}, 0.0f);
  require_ok(backend.operations().quantize_nearest(backend.lane(), &lane_tile, &found, &error), error);
  backend.finish();
  BOOST_CHECK_EQUAL(difference(lane_codes.bytes(), codes.bytes), "");
  BOOST_CHECK_EQUAL(difference(lane_scales.bytes(), scales.bytes), "");
  for (std::size_t r = 0; r < 5; ++r)
    check_close("row_metric", found_rows[r], expected_rows[r], 1e-9 * expected_rows[r]);
}

BOOST_AUTO_TEST_CASE(wide_rows) {
  for (const std::int64_t cols : {8960, 9216, 17408, 30720, 32768, 33024}) {
    octavo_layer layer{};
    layer.rows = 3;
    layer.cols = cols;
    octavo_grid grid = int8_grid(layer, scale_level(OCTAVO_PER_ROW));
    for (const std::int64_t group : {0, 256}) {
      grid.basis = group == 0 ? OCTAVO_BASIS_PLAIN : OCTAVO_BASIS_CONVROT;
      grid.basis_group = group;
      HostTensor source = weights(Weights::heavy_tails, OCTAVO_BF16, 3, cols),
                 codes = matrix(OCTAVO_I8, 3, cols), scales = matrix(OCTAVO_F32, 3, 1);
      const LaneTensor lane_source(source), lane_codes(codes), lane_scales(scales);
      octavo_tile_result expected{}, found{};
      expected.struct_size = found.struct_size = sizeof found;
      octavo_error error = empty_error();
      const octavo_tile tile = tile_over(grid, source.view(), codes.view(), scales.view(), {}, {}, 0.0f);
      require_ok(reference::operations().quantize_nearest(nullptr, &tile, &expected, &error), error);
      BackendUnderTest& backend = BackendUnderTest::get();
      const octavo_tile lane_tile =
          tile_over(grid, lane_source.view(), lane_codes.view(), lane_scales.view(), {}, {}, 0.0f);
      require_ok(backend.operations().quantize_nearest(backend.lane(), &lane_tile, &found, &error), error);
      backend.finish();
      BOOST_TEST_CONTEXT(cols << " columns, groups of " << group) {
        BOOST_CHECK_EQUAL(difference(lane_codes.bytes(), codes.bytes), "");
        BOOST_CHECK_EQUAL(difference(lane_scales.bytes(), scales.bytes), "");
        check_close("error_sum", found.error_sum, expected.error_sum, 1e-3 * expected.error_sum);
      }
    }
  }
}

namespace {

void compare_cast(HostTensor source, std::uint32_t to, std::uint32_t flags, bool as_tile) {
  BackendUnderTest& backend = BackendUnderTest::get();
  HostTensor target = matrix(to, source.rows, source.cols, 2);
  const LaneTensor lane_source(source), lane_target(target);
  octavo_tensor from = source.view(), into = target.view();
  octavo_tensor lane_from = lane_source.view(), lane_into = lane_target.view();
  octavo_error error = empty_error();
  if (!as_tile) {
    octavo_cast_result expected{}, found{};
    expected.struct_size = found.struct_size = sizeof found;
    require_ok(reference::operations().cast(nullptr, &from, &into, flags, &expected, &error), error);
    require_ok(backend.operations().cast(backend.lane(), &lane_from, &lane_into, flags, &found, &error),
               error);
    backend.finish();
    BOOST_CHECK_EQUAL(found.overflow_count, expected.overflow_count);
    BOOST_CHECK_EQUAL(found.underflow_count, expected.underflow_count);
    BOOST_CHECK_EQUAL(difference(lane_target.bytes(), target.bytes), "");
    return;
  }
  octavo_layer layer{};
  layer.rows = source.rows;
  layer.cols = source.cols;
  const octavo_grid grid = cast_grid(layer, static_cast<octavo_dtype>(to));
  octavo_tile_result expected{}, found{};
  expected.struct_size = found.struct_size = sizeof found;
  octavo_tile tile = tile_over(grid, from, into, {}, {}, {}, 0.0f);
  octavo_tile lane_tile = tile_over(grid, lane_from, lane_into, {}, {}, {}, 0.0f);
  tile.flags = lane_tile.flags = flags;
  require_ok(reference::operations().quantize_nearest(nullptr, &tile, &expected, &error), error);
  require_ok(backend.operations().quantize_nearest(backend.lane(), &lane_tile, &found, &error), error);
  backend.finish();
  BOOST_CHECK_EQUAL(difference(lane_target.bytes(), target.bytes), "");
  BOOST_CHECK_EQUAL(found.nonfinite_count, expected.nonfinite_count);
  BOOST_CHECK_EQUAL(found.nonfinite_first, expected.nonfinite_first);
  BOOST_CHECK_EQUAL(found.overflow_count, expected.overflow_count);
  BOOST_CHECK_EQUAL(found.underflow_count, expected.underflow_count);
  BOOST_CHECK_EQUAL(found.max_error, expected.max_error);
  check_close("error_sum", found.error_sum, expected.error_sum, 1e-12 * expected.error_sum);
  check_close("signal_sum", found.signal_sum, expected.signal_sum, 1e-12 * expected.signal_sum);
}

// Bits of every exponent and both signs, NaN and infinities among them.
HostTensor wide_patterns(std::uint32_t dtype) {
  HostTensor made = matrix(dtype, 64, 1024);
  std::uint64_t state = 88172645463325252ull;
  for (std::int64_t i = 0; i < 64 * 1024; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    if (dtype == OCTAVO_F64) {
      // Half of them around the range of f32, where the rounding to it matters.
      const std::uint64_t exponent = 1023 - 160 + state % 320;
      const std::uint64_t bits = i % 2 == 0 ? state : (state & 0x800fffffffffffffull) | exponent << 52;
      std::memcpy(made.bytes.data() + 8 * i, &bits, 8);
    } else {
      const auto bits = static_cast<std::uint32_t>(state >> 16);
      std::memcpy(made.bytes.data() + 4 * i, &bits, 4);
    }
  }
  return made;
}

}  // namespace

BOOST_AUTO_TEST_CASE(casts_between_all_float_dtypes) {
  for (const std::uint32_t from : kWeightDtypes) {
    for (const std::uint32_t to : kWeightDtypes) {
      for (const std::uint32_t flags : {0u, OCTAVO_TILE_CLAMP_OVERFLOW, OCTAVO_TILE_ZERO_NONFINITE}) {
        for (const bool as_tile : {false, true}) {
          BOOST_TEST_CONTEXT(dtype_name(from) << " to " << dtype_name(to) << ", flags " << flags
                                              << (as_tile ? ", as a tile" : "")) {
            compare_cast(bytes_of(from) >= 4 ? wide_patterns(from) : every_pattern(from), to, flags, as_tile);
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(bases_forth_and_back) {
  BackendUnderTest& backend = BackendUnderTest::get();
  octavo_layer layer{};
  octavo_grid grid = int8_grid(layer, scale_level(OCTAVO_PER_ROW));
  octavo_error error = empty_error();
  for (const std::int64_t group : {0, 4, 16, 64, 256, 1024, 4096}) {
    grid.basis = group == 0 ? OCTAVO_BASIS_PLAIN : OCTAVO_BASIS_CONVROT;
    grid.basis_group = group;
    const std::int64_t cols = group == 0 ? 131 : 3 * group;
    for (const std::uint32_t dtype : kWeightDtypes) {
      HostTensor source = weights(Weights::any_bits, dtype, 3, cols, 7),
                 target = matrix(OCTAVO_F32, 3, cols, 1);
      const LaneTensor lane_source(source), lane_target(target);
      octavo_tensor from = source.view(), into = target.view();
      octavo_tensor lane_from = lane_source.view(), lane_into = lane_target.view();
      require_ok(reference::operations().to_basis(nullptr, &grid, &from, &into, &error), error);
      require_ok(backend.operations().to_basis(backend.lane(), &grid, &lane_from, &lane_into, &error), error);
      BOOST_TEST_CONTEXT("groups of " << group << ", " << dtype_name(dtype)) {
        BOOST_CHECK_EQUAL(difference(lane_target.bytes(), target.bytes), "");
        // Back, in place.
        require_ok(reference::operations().from_basis(nullptr, &grid, &into, &into, &error), error);
        require_ok(backend.operations().from_basis(backend.lane(), &grid, &lane_into, &lane_into, &error),
                   error);
        BOOST_CHECK_EQUAL(difference(lane_target.bytes(), target.bytes), "");
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::test
