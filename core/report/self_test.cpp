// A case runs one operation on a lane and returns everything it wrote as floats; it is run on a lane of the
// backend and on the reference, from the same operands.
#include "report/self_test.hpp"

#include "base/error.hpp"
#include "reference/convert.hpp"
#include "stored/band_lane.hpp"

#include <octavo/grid.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <span>

namespace octavo::report {
namespace {

using stored::BandLane;
using stored::LaneBuffer;

constexpr int64_t kRows = 64;
constexpr int64_t kCols = 256;
constexpr uint64_t kSeed = 20;

using Values = std::vector<float>;

struct Case {
  std::string name;
  octavo_operation operation;
  octavo_grid grid;
  double tolerance;  // of the relative difference of norms; 0: the same bits
  std::function<Values(BandLane&, const octavo_host&)> run;
};

// Uniform in [-1, 1), from the host's counter-based numbers.
Values random_values(const octavo_host& host, const char* name, size_t count) {
  std::vector<uint32_t> words(count);
  host.random(host.context, kSeed, name, 0, count, words.data());
  Values values;
  for (const uint32_t word : words)
    values.push_back(static_cast<float>(static_cast<int32_t>(word)) * 0x1p-31f);
  return values;
}

octavo_layer test_layer() {
  octavo_layer layer{};
  layer.struct_size = sizeof layer;
  layer.dtype = OCTAVO_F32;
  layer.name = layer.key = "self_test";
  layer.rows = kRows;
  layer.cols = kCols;
  return layer;
}

octavo_grid row_grid() { return int8_grid(test_layer(), scale_level(OCTAVO_PER_ROW)); }
octavo_grid block_grid() { return int8_grid(test_layer(), scale_level(OCTAVO_PER_BLOCK, 32, 32)); }

octavo_grid convrot_grid() {
  octavo_grid grid = row_grid();
  grid.basis = OCTAVO_BASIS_CONVROT;
  grid.basis_group = 256;
  return grid;
}

octavo_tensor view_of(Values& values, int64_t rows, int64_t cols) {
  return tensor_view(values.data(), OCTAVO_F32, {rows, cols});
}

octavo_tensor shape_of(uint32_t dtype, int64_t rows, int64_t cols) {
  return tensor_view(nullptr, dtype, {rows, cols});
}

float value_at(uint32_t dtype, const std::byte* bytes, size_t index) {
  if (dtype == OCTAVO_I8) return static_cast<float>(static_cast<int8_t>(bytes[index]));
  return reference::load(bytes, dtype, static_cast<int64_t>(index));
}

// Waits for the lane and appends what it wrote to `view`.
void collect(BandLane& lane, const octavo_tensor& view, Values& values) {
  std::vector<std::byte> bytes(stored::view_bytes(view));
  if (lane.on_host()) {
    lane.finish();
    std::memcpy(bytes.data(), view.data, bytes.size());
  } else {
    lane.backend_lane()->copy(bytes.data(), OCTAVO_MEMORY_HOST, view.data, OCTAVO_MEMORY_DEVICE,
                              bytes.size());
    lane.finish();
  }
  const size_t count = bytes.size() / bytes_of(view.dtype);
  for (size_t i = 0; i < count; ++i) values.push_back(value_at(view.dtype, bytes.data(), i));
}

Values quantize(BandLane& lane, const octavo_host& host, const octavo_grid& grid) {
  Values weight = random_values(host, "weight", kRows * kCols);
  const octavo_layer layer = test_layer();
  const ScaleShape scales = scale_shape(grid.scales[0], kRows, kCols);
  LaneBuffer source, codes, scale;
  octavo_tile tile{};
  tile.struct_size = sizeof tile;
  tile.layer = &layer;
  tile.grid = &grid;
  tile.source = source.upload(lane, view_of(weight, kRows, kCols));
  tile.codes = codes.reserve(lane, shape_of(OCTAVO_I8, kRows, kCols));
  tile.scales[0] = scale.reserve(lane, shape_of(OCTAVO_F32, scales.rows, scales.cols));
  lane.quantize_nearest(tile);
  Values values;
  collect(lane, tile.codes, values);
  collect(lane, tile.scales[0], values);
  return values;
}

Values absmax(BandLane& lane, const octavo_host& host, const octavo_grid& grid) {
  Values weight = random_values(host, "weight", kRows * kCols);
  LaneBuffer buffer;
  const octavo_tensor source = buffer.upload(lane, view_of(weight, kRows, kCols));
  return {lane.absmax(grid, source)};
}

Values change_basis(BandLane& lane, const octavo_host& host, const octavo_grid& grid, bool to) {
  Values weight = random_values(host, "weight", kRows * kCols);
  LaneBuffer from, into;
  const octavo_tensor source = from.upload(lane, view_of(weight, kRows, kCols));
  octavo_tensor target = into.reserve(lane, shape_of(OCTAVO_F32, kRows, kCols));
  lane.run(to ? "to_basis" : "from_basis", [&](auto& table, auto* raw, auto* error) {
    return to ? table.to_basis(raw, &grid, &source, &target, error)
              : table.from_basis(raw, &grid, &source, &target, error);
  });
  Values values;
  collect(lane, target, values);
  return values;
}

std::vector<int8_t> random_codes(const octavo_host& host) {
  std::vector<int8_t> codes;
  for (const float value : random_values(host, "codes", kRows * kCols)) {
    codes.push_back(static_cast<int8_t>(std::lround(value * 127)));
  }
  return codes;
}

Values random_scales(const octavo_host& host) {
  Values scales = random_values(host, "scales", kRows);
  for (float& scale : scales) scale = std::fabs(scale) + 1e-3f;
  return scales;
}

Values dequantize(BandLane& lane, const octavo_host& host, const octavo_grid& grid) {
  std::vector<int8_t> codes = random_codes(host);
  Values scales = random_scales(host);
  const octavo_layer layer = test_layer();
  LaneBuffer code_buffer, scale_buffer, into;
  octavo_tile tile{};
  tile.struct_size = sizeof tile;
  tile.layer = &layer;
  tile.grid = &grid;
  tile.codes = code_buffer.upload(lane, tensor_view(codes.data(), OCTAVO_I8, {kRows, kCols}));
  tile.scales[0] = scale_buffer.upload(lane, view_of(scales, kRows, 1));
  octavo_tensor target = into.reserve(lane, shape_of(OCTAVO_F32, kRows, kCols));
  lane.dequantize(tile, target);
  Values values;
  collect(lane, target, values);
  return values;
}

// The lower triangle of a factor with small entries and ones on the diagonal.
Values unit_triangle(const octavo_host& host, int64_t size) {
  Values factor = random_values(host, "factor", static_cast<size_t>(size * size));
  for (int64_t r = 0; r < size; ++r) {
    for (int64_t c = 0; c < size; ++c) {
      float& entry = factor[static_cast<size_t>(r * size + c)];
      entry = r == c ? 1.0f : c > r ? 0.0f : entry * 0.05f;
    }
  }
  return factor;
}

Values round_feedback(BandLane& lane, const octavo_host& host, const octavo_grid& grid) {
  Values weight = random_values(host, "weight", kRows * kCols);
  Values factor = unit_triangle(host, kCols);
  Values scales(kRows, 1.0f / 127);
  Values other = random_values(host, "fed", kRows * kCols);
  for (float& value : other) value *= 0.01f;
  LaneBuffer source, fed, factors, scale, codes, residual;
  octavo_feedback feedback{};
  feedback.struct_size = sizeof feedback;
  feedback.grid = &grid;
  feedback.source = source.upload(lane, view_of(weight, kRows, kCols));
  feedback.fed = fed.upload(lane, view_of(other, kRows, kCols));
  feedback.factor = factors.upload(lane, view_of(factor, kCols, kCols));
  feedback.scales = scale.upload(lane, view_of(scales, kRows, 1));
  feedback.codes = codes.reserve(lane, shape_of(OCTAVO_I8, kRows, kCols));
  feedback.residual = residual.reserve(lane, shape_of(OCTAVO_F32, kRows, kCols));
  lane.run("round_feedback", [&](auto& operations, auto* raw, auto* error) {
    return operations.round_feedback(raw, &feedback, error);
  });
  Values values;
  collect(lane, feedback.codes, values);
  return values;
}

Values matmul(BandLane& lane, const octavo_host& host) {
  Values a = random_values(host, "a", kRows * kCols), b = random_values(host, "b", kRows * kCols);
  LaneBuffer left, right, into;
  const octavo_tensor first = left.upload(lane, view_of(a, kRows, kCols));
  const octavo_tensor second = right.upload(lane, view_of(b, kRows, kCols));
  const octavo_tensor product = into.reserve(lane, shape_of(OCTAVO_F32, kRows, kRows));
  lane.multiply(first, second, product);
  Values values;
  collect(lane, product, values);
  return values;
}

Values matmul_int8(BandLane& lane, const octavo_host& host, const octavo_grid& grid) {
  std::vector<uint16_t> x;
  for (const float value : random_values(host, "x", 16 * kCols)) x.push_back(to_bf16(value));
  std::vector<int8_t> codes = random_codes(host);
  Values scales = random_scales(host);
  LaneBuffer inputs, weights, scale, into;
  octavo_matmul_int8 call{};
  call.struct_size = sizeof call;
  call.compute_dtype = OCTAVO_BF16;
  call.grid = &grid;
  call.x = inputs.upload(lane, tensor_view(x.data(), OCTAVO_BF16, {16, kCols}));
  call.codes = weights.upload(lane, tensor_view(codes.data(), OCTAVO_I8, {kRows, kCols}));
  call.scales = scale.upload(lane, view_of(scales, kRows, 1));
  call.y = into.reserve(lane, shape_of(OCTAVO_BF16, 16, kRows));
  lane.run("matmul_int8", [&](auto& operations, auto* raw, auto* error) {
    return operations.matmul_int8(raw, &call, error);
  });
  Values values;
  collect(lane, call.y, values);
  return values;
}

Values gram(BandLane& lane, const octavo_host& host) {
  Values x = random_values(host, "x", kRows * kCols);
  LaneBuffer inputs, into;
  const octavo_tensor source = inputs.upload(lane, view_of(x, kRows, kCols));
  octavo_tensor h = into.reserve(lane, shape_of(OCTAVO_F32, kCols, kCols));
  lane.run("gram", [&](auto& operations, auto* raw, auto* error) {
    return operations.gram(raw, &source, &h, 0, error);
  });
  Values values;
  collect(lane, h, values);
  return values;
}

Values error_sums(BandLane& lane, const octavo_host& host) {
  Values a = random_values(host, "a", kRows * kCols), b = random_values(host, "b", kRows * kCols);
  LaneBuffer left, right;
  const octavo_tensor first = left.upload(lane, view_of(a, kRows, kCols));
  const octavo_tensor second = right.upload(lane, view_of(b, kRows, kCols));
  const octavo_error_sums sums = lane.error_sums(first, second);
  return {static_cast<float>(sums.error_sum), static_cast<float>(sums.signal_sum), sums.max_error};
}

Values cast(BandLane& lane, const octavo_host& host, octavo_dtype dtype) {
  Values weight = random_values(host, "weight", kRows * kCols);
  LaneBuffer from, into;
  const octavo_tensor source = from.upload(lane, view_of(weight, kRows, kCols));
  octavo_tensor target = into.reserve(lane, shape_of(static_cast<uint32_t>(dtype), kRows, kCols));
  octavo_cast_result result{};
  result.struct_size = sizeof result;
  lane.run("cast", [&](auto& operations, auto* raw, auto* error) {
    return operations.cast(raw, &source, &target, 0, &result, error);
  });
  Values values;
  collect(lane, target, values);
  return values;
}

Values merge_low_rank(BandLane& lane, const octavo_host& host) {
  constexpr int64_t kRank = 4;
  Values weight = random_values(host, "weight", kRows * kCols);
  Values up = random_values(host, "up", kRows * kRank), down = random_values(host, "down", kRank * kCols);
  LaneBuffer from, left, right, into;
  const octavo_tensor source = from.upload(lane, view_of(weight, kRows, kCols));
  const octavo_tensor first = left.upload(lane, view_of(up, kRows, kRank));
  const octavo_tensor second = right.upload(lane, view_of(down, kRank, kCols));
  octavo_tensor target = into.reserve(lane, shape_of(OCTAVO_F32, kRows, kCols));
  lane.run("merge_low_rank", [&](auto& operations, auto* raw, auto* error) {
    return operations.merge_low_rank(raw, &source, &first, &second, 0.5f, &target, error);
  });
  Values values;
  collect(lane, target, values);
  return values;
}

Values row_metric(BandLane& lane, const octavo_host& host) {
  Values x = random_values(host, "x", kRows * kCols), pivots = random_values(host, "pivots", kCols);
  std::vector<double> zeros(kRows);
  LaneBuffer values, weights, sums;
  const octavo_tensor from = values.upload(lane, view_of(x, kRows, kCols));
  const octavo_tensor by = weights.upload(lane, view_of(pivots, 1, kCols));
  octavo_tensor metric = sums.upload(lane, tensor_view(zeros.data(), OCTAVO_F64, {kRows, 1}));
  lane.run("row_metric", [&](auto& operations, auto* raw, auto* error) {
    return operations.row_metric(raw, &from, &by, &metric, error);
  });
  Values found;
  collect(lane, metric, found);
  return found;
}

template <typename Function, typename... Arguments>
auto with(Function function, Arguments... arguments) {
  return [=](BandLane& lane, const octavo_host& host) { return function(lane, host, arguments...); };
}

std::vector<Case> cases() {
  const octavo_grid row = row_grid(), convrot = convrot_grid(), block = block_grid();
  return {
      {"quantize_nearest, rows", OCTAVO_OP_QUANTIZE_NEAREST, row, 0, with(quantize, row)},
      {"quantize_nearest, convrot", OCTAVO_OP_QUANTIZE_NEAREST, convrot, 0, with(quantize, convrot)},
      {"quantize_nearest, blocks", OCTAVO_OP_QUANTIZE_NEAREST, block, 0, with(quantize, block)},
      {"absmax", OCTAVO_OP_ABSMAX, convrot, 0, with(absmax, convrot)},
      {"to_basis", OCTAVO_OP_TO_BASIS, convrot, 0, with(change_basis, convrot, true)},
      {"from_basis", OCTAVO_OP_FROM_BASIS, convrot, 0, with(change_basis, convrot, false)},
      {"dequantize", OCTAVO_OP_DEQUANTIZE, convrot, 0, with(dequantize, convrot)},
      {"round_feedback", OCTAVO_OP_ROUND_FEEDBACK, row, 0.02, with(round_feedback, row)},
      {"matmul", OCTAVO_OP_MATMUL, row, 1e-5, with(matmul)},
      {"matmul_int8", OCTAVO_OP_MATMUL_INT8, convrot, 0.01, with(matmul_int8, convrot)},
      {"gram", OCTAVO_OP_GRAM, row, 1e-5, with(gram)},
      {"error_sums", OCTAVO_OP_ERROR_SUMS, row, 1e-5, with(error_sums)},
      {"cast, F16", OCTAVO_OP_CAST, row, 0, with(cast, OCTAVO_F16)},
      {"cast, BF16", OCTAVO_OP_CAST, row, 0, with(cast, OCTAVO_BF16)},
      {"merge_low_rank", OCTAVO_OP_MERGE_LOW_RANK, row, 0, with(merge_low_rank)},
      {"row_metric", OCTAVO_OP_ROW_METRIC, row, 1e-5, with(row_metric)},
  };
}

// "" if `found` is what it should be.
std::string difference(const Values& expected, const Values& found, double tolerance) {
  if (expected.size() != found.size())
    return fmt::format("{} values, expected {}", found.size(), expected.size());
  size_t unequal = 0, first = 0;
  double error = 0, signal = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::bit_cast<uint32_t>(expected[i]) != std::bit_cast<uint32_t>(found[i]) && unequal++ == 0)
      first = i;
    const double distance = double{expected[i]} - double{found[i]};
    error += distance * distance;
    signal += double{expected[i]} * double{expected[i]};
  }
  if (unequal == 0) return "";
  if (tolerance > 0 && error <= tolerance * tolerance * signal) return "";
  return fmt::format("{} of {} values differ, the first is {} instead of {}", unequal, expected.size(),
                     found[first], expected[first]);
}

}  // namespace

const char* name(CheckOutcome outcome) {
  switch (outcome) {
    case CheckOutcome::right:
      return "right";
    case CheckOutcome::wrong:
      return "wrong";
    case CheckOutcome::failed:
      return "failed";
    case CheckOutcome::missing:
      break;
  }
  return "missing";
}

std::vector<OperationCheck> self_test(const plugin::Backend& backend, int32_t device,
                                      const octavo_host& host) {
  octavo_lane_request request{};
  request.struct_size = sizeof request;
  request.count = 1;
  request.device = device;
  request.slots = 1;
  BandLane lane(backend.open_lane(request));
  BandLane reference(host);
  std::vector<OperationCheck> checks;
  for (const Case& one : cases()) {
    const std::string missing = backend.unsupported(one.operation, &one.grid, {});
    if (!missing.empty()) {
      checks.push_back({one.name, CheckOutcome::missing, missing});
      continue;
    }
    try {
      const std::string detail = difference(one.run(reference, host), one.run(lane, host), one.tolerance);
      checks.push_back({one.name, detail.empty() ? CheckOutcome::right : CheckOutcome::wrong, detail});
    } catch (const Error& error) {
      checks.push_back({one.name, CheckOutcome::failed, error.what()});
    }
  }
  return checks;
}

}  // namespace octavo::report
