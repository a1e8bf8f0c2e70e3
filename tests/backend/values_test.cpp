// Bases, casts, dequantization and sums of differences against the reference.
#include "backend_under_test.hpp"
#include "reference/operations.hpp"
#include "weights.hpp"

#include <octavo/grid.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <boost/test/unit_test.hpp>
#include <fmt/format.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

namespace octavo::test {
namespace {

BackendUnderTest& backend() { return BackendUnderTest::get(); }
const octavo_operations& defined() { return reference::operations(); }

octavo_grid rotated_grid(std::int64_t rows, std::int64_t cols, std::int64_t rotation) {
  octavo_layer layer{};
  layer.rows = rows;
  layer.cols = cols;
  octavo_grid grid = int8_grid(layer, scale_level(OCTAVO_PER_ROW));
  if (rotation != 0) {
    grid.basis = OCTAVO_BASIS_CONVROT;
    grid.basis_group = rotation;
  }
  return grid;
}

using BasisOperation = octavo_status (*octavo_operations::*)(octavo_lane*, const octavo_grid*,
                                                             const octavo_tensor*, octavo_tensor*,
                                                             octavo_error*);

void compare_basis(BasisOperation operation, const octavo_grid& grid, HostTensor source, std::int64_t room) {
  HostTensor target = matrix(OCTAVO_F32, source.rows, source.cols, room);
  const LaneTensor lane_source(source), lane_target(target);
  octavo_error error = empty_error();
  const octavo_tensor from = source.view();
  octavo_tensor to = target.view();
  require_ok((defined().*operation)(nullptr, &grid, &from, &to, &error), error);
  const octavo_tensor lane_from = lane_source.view();
  octavo_tensor lane_to = lane_target.view();
  require_ok((backend().operations().*operation)(backend().lane(), &grid, &lane_from, &lane_to, &error),
             error);
  BOOST_CHECK_EQUAL(difference(lane_target.bytes(), target.bytes), "");
}

void compare_in_place(BasisOperation operation, const octavo_grid& grid, HostTensor values) {
  const LaneTensor lane_values(values);
  octavo_error error = empty_error();
  octavo_tensor view = values.view();
  require_ok((defined().*operation)(nullptr, &grid, &view, &view, &error), error);
  octavo_tensor lane_view = lane_values.view();
  require_ok((backend().operations().*operation)(backend().lane(), &grid, &lane_view, &lane_view, &error),
             error);
  BOOST_CHECK_EQUAL(difference(lane_values.bytes(), values.bytes), "");
}

void compare_cast(HostTensor source, std::uint32_t target_dtype, std::uint32_t flags) {
  HostTensor target = matrix(target_dtype, source.rows, source.cols, 3);
  const LaneTensor lane_source(source), lane_target(target);
  octavo_cast_result expected{}, found{};
  expected.struct_size = found.struct_size = sizeof found;
  octavo_error error = empty_error();
  const octavo_tensor from = source.view();
  octavo_tensor to = target.view();
  require_ok(defined().cast(nullptr, &from, &to, flags, &expected, &error), error);
  const octavo_tensor lane_from = lane_source.view();
  octavo_tensor lane_to = lane_target.view();
  require_ok(backend().operations().cast(backend().lane(), &lane_from, &lane_to, flags, &found, &error),
             error);
  backend().finish();
  BOOST_CHECK_EQUAL(difference(lane_target.bytes(), target.bytes), "");
  BOOST_CHECK_EQUAL(found.overflow_count, expected.overflow_count);
  BOOST_CHECK_EQUAL(found.underflow_count, expected.underflow_count);
}

void check_close(const char* what, double found, double expected, double tolerance) {
  BOOST_CHECK_MESSAGE(std::fabs(found - expected) <= tolerance,
                      fmt::format("{}: {} instead of {}", what, found, expected));
}

// A tile of a CAST grid.
void compare_cast_tile(HostTensor source, std::uint32_t target_dtype, std::uint32_t flags) {
  octavo_layer layer{};
  layer.rows = source.rows;
  layer.cols = source.cols;
  const octavo_grid grid = cast_grid(layer, static_cast<octavo_dtype>(target_dtype));
  HostTensor codes = matrix(target_dtype, source.rows, source.cols, 5);
  const LaneTensor lane_source(source), lane_codes(codes);
  octavo_tile tile{};
  tile.struct_size = sizeof tile;
  tile.flags = flags;
  tile.grid = &grid;
  tile.source = source.view();
  tile.codes = codes.view();
  octavo_tile_result expected{}, found{};
  expected.struct_size = found.struct_size = sizeof found;
  octavo_error error = empty_error();
  require_ok(defined().quantize_nearest(nullptr, &tile, &expected, &error), error);
  tile.source = lane_source.view();
  tile.codes = lane_codes.view();
  require_ok(backend().operations().quantize_nearest(backend().lane(), &tile, &found, &error), error);
  backend().finish();
  BOOST_CHECK_EQUAL(difference(lane_codes.bytes(), codes.bytes), "");
  BOOST_CHECK_EQUAL(found.nonfinite_count, expected.nonfinite_count);
  BOOST_CHECK_EQUAL(found.nonfinite_first, expected.nonfinite_first);
  BOOST_CHECK_EQUAL(found.overflow_count, expected.overflow_count);
  BOOST_CHECK_EQUAL(found.underflow_count, expected.underflow_count);
  check_close("signal_sum", found.signal_sum, expected.signal_sum, 1e-5 * expected.signal_sum);
  check_close("error_sum", found.error_sum, expected.error_sum, 1e-5 * expected.error_sum);
  check_close("max_error", found.max_error, expected.max_error, 1e-6 * double{expected.max_error});
}

struct Dequantized {
  octavo_grid grid;
  HostTensor codes;
  HostTensor scales;
};

HostTensor random_scales(std::int64_t rows, std::int64_t cols) {
  std::mt19937 random(11);
  std::uniform_real_distribution<float> between(1e-4f, 1e-2f);
  HostTensor made = matrix(OCTAVO_F32, rows, cols, 2);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) made.row<float>(r)[c] = between(random);
  }
  return made;
}

Dequantized dequantized(octavo_scale_level level, std::int64_t rotation, std::int64_t rows,
                        std::int64_t cols) {
  Dequantized made{rotated_grid(rows, cols, rotation), matrix(OCTAVO_I8, rows, cols, 7), {}};
  made.grid.scales[0] = level;
  std::mt19937 random(static_cast<unsigned>(rows * 1000 + cols));
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c)
      made.codes.row<std::int8_t>(r)[c] = static_cast<std::int8_t>(random() & 0xff);
  }
  const ScaleShape shape = scale_shape(level, rows, cols);
  made.scales = random_scales(shape.rows, shape.cols);
  return made;
}

void compare_dequantize(Dequantized job, std::uint32_t plain) {
  HostTensor target = matrix(OCTAVO_F32, job.codes.rows, job.codes.cols, 9);
  const LaneTensor lane_codes(job.codes), lane_scales(job.scales), lane_target(target);
  octavo_tile tile{};
  tile.struct_size = sizeof tile;
  tile.grid = &job.grid;
  tile.codes = job.codes.view();
  tile.scales[0] = job.scales.view();
  octavo_tensor to = target.view();
  octavo_error error = empty_error();
  require_ok(defined().dequantize(nullptr, &tile, plain, &to, &error), error);
  tile.codes = lane_codes.view();
  tile.scales[0] = lane_scales.view();
  octavo_tensor lane_to = lane_target.view();
  require_ok(backend().operations().dequantize(backend().lane(), &tile, plain, &lane_to, &error), error);
  BOOST_CHECK_EQUAL(difference(lane_target.bytes(), target.bytes), "");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(values)

BOOST_AUTO_TEST_CASE(basis_forth_and_back) {
  for (const std::int64_t rotation : {0, 4, 16, 64, 256}) {
    for (const std::uint32_t dtype : kWeightDtypes) {
      for (const Weights kind : {Weights::gaussian, Weights::any_bits, Weights::subnormal, Weights::zeros}) {
        BOOST_TEST_CONTEXT("rotation " << rotation << ", " << dtype_name(dtype) << ", " << name_of(kind)) {
          for (const std::int64_t groups : {1, 2, 3, 5, 7}) {
            const std::int64_t cols = rotation == 0 ? groups * 13 : groups * rotation;
            const octavo_grid grid = rotated_grid(5, cols, rotation);
            compare_basis(&octavo_operations::to_basis, grid, weights(kind, dtype, 5, cols, 3), 4);
          }
        }
      }
    }
    const octavo_grid grid = rotated_grid(3, 768, rotation);
    BOOST_TEST_CONTEXT("rotation " << rotation << ", back and in place") {
      compare_basis(&octavo_operations::from_basis, grid, weights(Weights::heavy_tails, OCTAVO_F32, 3, 768),
                    0);
      compare_in_place(&octavo_operations::from_basis, grid,
                       weights(Weights::gaussian, OCTAVO_F32, 3, 768, 16));
      compare_in_place(&octavo_operations::to_basis, grid,
                       weights(Weights::gaussian, OCTAVO_F32, 3, 768, 16));
    }
  }
}

BOOST_AUTO_TEST_CASE(casts_between_all_dtypes) {
  for (const std::uint32_t from : kWeightDtypes) {
    for (const std::uint32_t to : kWeightDtypes) {
      for (const std::uint32_t flags : {0u, OCTAVO_TILE_CLAMP_OVERFLOW, OCTAVO_TILE_ZERO_NONFINITE,
                                        OCTAVO_TILE_CLAMP_OVERFLOW | OCTAVO_TILE_ZERO_NONFINITE}) {
        BOOST_TEST_CONTEXT(dtype_name(from) << " to " << dtype_name(to) << ", flags " << flags) {
          if (bytes_of(from) <= 2) compare_cast(every_pattern(from), to, flags);
          for (const Weights kind : kAllWeights) {
            BOOST_TEST_CONTEXT(name_of(kind)) { compare_cast(weights(kind, from, 5, 67, 2), to, flags); }
          }
        }
      }
    }
  }
}

// Values around every rounding boundary of F16 and BF16, in rows that hold no overflow and so take the fast
// way.
BOOST_AUTO_TEST_CASE(casts_round_half_to_even) {
  for (const std::uint32_t to : {OCTAVO_F16, OCTAVO_BF16}) {
    HostTensor source = matrix(OCTAVO_F32, 256, 3 * 256);
    for (std::int64_t i = 0; i < 65536; ++i) {
      const std::uint16_t bits = static_cast<std::uint16_t>(i);
      const float here = to == OCTAVO_F16 ? from_f16(bits) : from_bf16(bits);
      const float next = to == OCTAVO_F16 ? from_f16(static_cast<std::uint16_t>(bits + 1))
                                          : from_bf16(static_cast<std::uint16_t>(bits + 1));
      const float middle = here + (next - here) / 2;
      float* at = source.row<float>(0) + 3 * i;
      at[0] = std::isfinite(middle) ? middle : 0.0f;
      at[1] = std::isfinite(middle) ? std::nextafter(middle, here) : 0.0f;
      at[2] = std::isfinite(middle) ? std::nextafter(middle, next) : 0.0f;
    }
    BOOST_TEST_CONTEXT(dtype_name(to)) { compare_cast(source, to, 0); }
  }
}

BOOST_AUTO_TEST_CASE(tiles_of_cast_grids) {
  for (const std::uint32_t from : kWeightDtypes) {
    for (const std::uint32_t to : {OCTAVO_F16, OCTAVO_BF16, OCTAVO_F32, OCTAVO_F8_E4M3, OCTAVO_F8_E5M2}) {
      for (const std::uint32_t flags : {0u, OCTAVO_TILE_CLAMP_OVERFLOW, OCTAVO_TILE_ZERO_NONFINITE}) {
        BOOST_TEST_CONTEXT(dtype_name(from) << " to " << dtype_name(to) << ", flags " << flags) {
          if (bytes_of(from) <= 2) compare_cast_tile(every_pattern(from), to, flags);
          for (const Weights kind : kAllWeights) {
            BOOST_TEST_CONTEXT(name_of(kind)) { compare_cast_tile(weights(kind, from, 3, 259), to, flags); }
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(dequantized_values) {
  struct Kind {
    const char* name;
    octavo_scale_level level;
    std::int64_t rotation, rows, cols;
  };
  const Kind kinds[] = {{"one", scale_level(OCTAVO_PER_ROW), 0, 1, 1},
                        {"row", scale_level(OCTAVO_PER_ROW), 0, 7, 257},
                        {"tensor", scale_level(OCTAVO_PER_TENSOR), 0, 5, 131},
                        {"block", scale_level(OCTAVO_PER_BLOCK, 128, 128), 0, 259, 300},
                        {"small blocks", scale_level(OCTAVO_PER_BLOCK, 3, 20), 0, 10, 101},
                        {"group", scale_level(OCTAVO_PER_GROUP, 0, 32), 0, 4, 100},
                        {"convrot 256", scale_level(OCTAVO_PER_ROW), 256, 3, 1024},
                        {"convrot 64", scale_level(OCTAVO_PER_ROW), 64, 3, 320},
                        {"convrot 16", scale_level(OCTAVO_PER_TENSOR), 16, 3, 48},
                        {"convrot 1024", scale_level(OCTAVO_PER_ROW), 1024, 2, 2048}};
  for (const Kind& kind : kinds) {
    for (const std::uint32_t plain : {0u, 1u}) {
      BOOST_TEST_CONTEXT(kind.name << (plain != 0 ? ", plain" : ", in its basis")) {
        compare_dequantize(dequantized(kind.level, kind.rotation, kind.rows, kind.cols), plain);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(sums_of_differences) {
  for (const std::uint32_t a_dtype : kWeightDtypes) {
    for (const std::uint32_t b_dtype : {OCTAVO_F64, OCTAVO_F32, OCTAVO_BF16, OCTAVO_F16, OCTAVO_F8_E5M2}) {
      for (const Weights kind :
           {Weights::gaussian, Weights::heavy_tails, Weights::huge, Weights::subnormal}) {
        HostTensor a = weights(kind, a_dtype, 7, 131, 4), b = weights(kind, b_dtype, 7, 131);
        const LaneTensor lane_a(a), lane_b(b);
        octavo_error_sums expected{}, found{};
        expected.struct_size = found.struct_size = sizeof found;
        octavo_error error = empty_error();
        const octavo_tensor av = a.view(), bv = b.view(), lane_av = lane_a.view(), lane_bv = lane_b.view();
        require_ok(defined().error_sums(nullptr, &av, &bv, &expected, &error), error);
        require_ok(backend().operations().error_sums(backend().lane(), &lane_av, &lane_bv, &found, &error),
                   error);
        backend().finish();
        BOOST_TEST_CONTEXT(dtype_name(a_dtype) << " and " << dtype_name(b_dtype) << ", " << name_of(kind)) {
          check_close("error_sum", found.error_sum, expected.error_sum, 1e-6 * expected.error_sum);
          check_close("signal_sum", found.signal_sum, expected.signal_sum, 1e-6 * expected.signal_sum);
          const bool both_infinite = std::isinf(found.max_error) && std::isinf(expected.max_error);
          if (!both_infinite)
            check_close("max_error", found.max_error, expected.max_error, 1e-6 * double{expected.max_error});
        }
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::test
