#include "smoothing/alpha_search.hpp"

#include "calibration/samples.hpp"
#include "reference/convert.hpp"
#include "reference/scales.hpp"
#include "run/row_source.hpp"
#include "smoothing/formula.hpp"

#include <octavo/grid.hpp>
#include <octavo/tensor.hpp>

#include <algorithm>
#include <array>
#include <cmath>

namespace octavo::smoothing {
namespace {

using stored::BandLane;
using stored::LaneBuffer;

constexpr std::array kAlphas = {0.3, 0.4, 0.5, 0.6, 0.7, 0.8};
constexpr int64_t kKeptOut = 4;  // every fourth row
constexpr int64_t kJudgingRows = 128;
constexpr int64_t kWeightRows = 256;

// Row-major f32.
struct Rows {
  int64_t count = 0;
  int64_t cols = 0;
  std::vector<float> values = {};

  octavo_tensor view() { return octavo::tensor_view(values.data(), OCTAVO_F32, {count, cols}); }
};

Rows scaled(const Rows& rows, std::span<const float> factors, bool divide) {
  Rows made = rows;
  for (int64_t i = 0; i < rows.count * rows.cols; ++i) {
    const float factor = factors[static_cast<size_t>(i % rows.cols)];
    float& value = made.values[static_cast<size_t>(i)];
    value = divide ? value / factor : value * factor;
  }
  return made;
}

// Rows of the inputs, and the channels' maxima over those that do not judge.
struct Inputs {
  Rows judging;
  std::vector<float> channel_max;
};

Inputs read_inputs(const calibration::Calibration& calibration, const calibration::InputGroup& group) {
  const calibration::Samples samples(calibration, group);
  const octavo_tensor& all = samples.view().samples;
  Inputs inputs;
  inputs.judging.cols = all.shape[1];
  inputs.channel_max.resize(static_cast<size_t>(all.shape[1]));
  const int64_t kept_out = all.shape[0] / kKeptOut;
  const int64_t stride = kKeptOut * std::max<int64_t>(1, (kept_out + kJudgingRows - 1) / kJudgingRows);
  for (int64_t row = 0; row < all.shape[0]; ++row) {
    const bool judges = row % stride == kKeptOut - 1;
    const bool is_kept_out = row % kKeptOut == kKeptOut - 1;
    inputs.judging.count += judges ? 1 : 0;
    for (int64_t c = 0; c < all.shape[1]; ++c) {
      const float value =
          reference::load(static_cast<const std::byte*>(all.data), all.dtype, row * all.shape[1] + c);
      float& largest = inputs.channel_max[static_cast<size_t>(c)];
      if (!is_kept_out) largest = std::max(largest, std::fabs(value));
      if (judges) inputs.judging.values.push_back(value);
    }
  }
  return inputs;
}

// As they are before anything is scaled: bands of whole row multiples, evenly spaced.
Rows read_weight(const checkpoint::Checkpoint& source, const plan::SmoothedReader& reader, int64_t cols) {
  const plan::RowOrigin& origin = reader.origin;
  const int64_t rows = origin.row_count();
  const bool is_coupled = reader.grid->basis == OCTAVO_BASIS_INCOHERENT;
  const int64_t height = is_coupled ? 1 : std::clamp<int64_t>(reader.grid->row_multiple, 1, rows);
  const int64_t bands = std::max<int64_t>(1, std::min(rows, kWeightRows) / height);
  Rows weight{bands * height, cols};
  weight.values.resize(static_cast<size_t>(weight.count * cols));
  for (int64_t band = 0; band < bands; ++band) {
    const int64_t begin = band * (rows / height) / bands * height;
    octavo_tensor view =
        octavo::tensor_view(weight.values.data() + band * height * cols, OCTAVO_F32, {height, cols});
    run::make_rows_on_host(source, origin, {begin, height, cols}, view);
  }
  return weight;
}

// Inputs as W8A8 rounds them: 8 bits and a scale for each row, in the basis of the weight.
octavo_grid grid_of_inputs(const octavo_grid& weight, int64_t rows) {
  octavo_grid grid = weight;
  grid.code = OCTAVO_CODE_INTEGER;
  grid.stored_dtype = OCTAVO_I8;
  grid.qmin = -127;
  grid.qmax = 127;
  grid.scale_levels = 1;
  grid.scales[0] = {};
  grid.scales[0].granularity = OCTAVO_PER_ROW;
  grid.scales[0].rule = OCTAVO_SCALE_ABSMAX;
  grid.scales[0].dtype = OCTAVO_F32;
  grid.scales[0].floor = 1e-30F;
  grid.row_multiple = 1;
  grid.rows = rows;
  return grid;
}

octavo_grid without_coupled_rows(octavo_grid grid, const Rows& weight) {
  if (grid.basis != OCTAVO_BASIS_INCOHERENT) return grid;
  grid.basis = OCTAVO_BASIS_PLAIN;
  grid.rows = weight.count;
  grid.cols = weight.cols;
  grid.row_multiple = 1;
  return grid;
}

// One lane and what it computes in.
class Trial {
 public:
  explicit Trial(BandLane lane) : lane_(std::move(lane)) {}

  // |X W^T - Q(X / s) Q(W s)^T|^2 / |X W^T|^2
  double relative_error(Rows& inputs, Rows& weight, const octavo_grid& grid, std::span<const float> factors) {
    const octavo_tensor y = product(x_.upload(lane_, inputs.view()), w_.upload(lane_, weight.view()), y_);
    lane_.finish();
    Rows divided = scaled(inputs, factors, true);
    Rows multiplied = scaled(weight, factors, false);
    const octavo_tensor x = rounded(divided, grid_of_inputs(grid, inputs.count), input_parts_);
    const octavo_tensor w = rounded(multiplied, grid, weight_parts_);
    const octavo_tensor y_rounded = product(x, w, y_rounded_);
    const octavo_error_sums sums = lane_.error_sums(y, y_rounded);
    return sums.signal_sum == 0 ? 0 : sums.error_sum / sums.signal_sum;
  }

 private:
  struct Parts {
    LaneBuffer source, codes, scales[2], zero_points, values;
    float layer_scale[2] = {};
  };

  octavo_tensor product(const octavo_tensor& x, const octavo_tensor& w, LaneBuffer& buffer) {
    const octavo_tensor y =
        buffer.reserve(lane_, octavo::tensor_view(nullptr, OCTAVO_F32, {x.shape[0], w.shape[0]}));
    lane_.multiply(x, w, y);
    return y;
  }

  // Nearest on the grid, and back.
  octavo_tensor rounded(Rows& rows, const octavo_grid& grid, Parts& parts) {
    octavo_layer layer{};
    layer.struct_size = sizeof layer;
    layer.dtype = OCTAVO_F32;
    layer.name = layer.key = "trial";
    layer.rows = rows.count;
    layer.cols = rows.cols;
    octavo_tile tile = stored::tile_of(layer, grid, 0, rows.count, grid.cols);
    tile.source = parts.source.upload(lane_, rows.view());
    tile.codes = parts.codes.reserve(lane_, tile.codes);
    for (uint32_t i = 0; i < grid.scale_levels; ++i)
      tile.scales[i] = parts.scales[i].reserve(lane_, tile.scales[i]);
    if (tile.zero_points.rank != 0) tile.zero_points = parts.zero_points.reserve(lane_, tile.zero_points);
    if (octavo::needs_layer_absmax(grid)) tile.absmax = lane_.absmax(grid, tile.source);
    lane_.quantize_nearest(tile);
    place_layer_scales(tile, parts);
    octavo_tensor values = parts.values.reserve(lane_, rows.view());
    lane_.dequantize(tile, values);
    lane_.finish();
    return values;
  }

  // A scale of the whole layer is not written with a tile.
  void place_layer_scales(octavo_tile& tile, Parts& parts) {
    for (uint32_t i = 0; i < tile.grid->scale_levels; ++i) {
      const octavo_scale_level& level = tile.grid->scales[i];
      if (level.granularity != OCTAVO_PER_TENSOR) continue;
      reference::store_layer_scale(*tile.grid, i, tile.absmax, &parts.layer_scale[i]);
      tile.scales[i] =
          parts.scales[i].upload(lane_, octavo::tensor_view(&parts.layer_scale[i], level.dtype, {1, 1}));
    }
  }

  BandLane lane_;
  LaneBuffer x_, w_, y_, y_rounded_;
  Parts input_parts_, weight_parts_;
};

const calibration::InputGroup* recorded_inputs(const plan::Smoothing& group) {
  for (const plan::SmoothedReader& reader : group.readers) {
    const calibration::InputGroup* inputs = reader.inputs;
    if (inputs == nullptr || !inputs->has_samples() || !inputs->contents.recorded) continue;
    if (static_cast<int64_t>(inputs->rows.size()) >= kKeptOut) return inputs;
  }
  return nullptr;
}

}  // namespace

std::optional<double> search_alpha(const SearchProblem& problem, const OpenLane& open_lane) {
  const plan::Smoothing& group = problem.group;
  const calibration::InputGroup* recorded = recorded_inputs(group);
  if (recorded == nullptr) return std::nullopt;
  Inputs inputs = read_inputs(*problem.sources.calibration, *recorded);
  std::vector<std::vector<float>> tried = {std::vector<float>(problem.weight_max.size(), 1.0F)};
  for (const double alpha : kAlphas)
    tried.push_back(problem.storable(smooth_factors(inputs.channel_max, problem.weight_max, alpha)));
  std::vector<double> errors(tried.size());
  Trial trial(open_lane());
  for (const plan::SmoothedReader& reader : group.readers) {
    if (reader.grid == nullptr) continue;
    Rows weight = read_weight(problem.sources.checkpoint, reader, group.channels);
    const octavo_grid grid = without_coupled_rows(*reader.grid, weight);
    for (size_t i = 0; i < tried.size(); ++i)
      errors[i] += trial.relative_error(inputs.judging, weight, grid, tried[i]);
  }
  const auto best = static_cast<size_t>(std::min_element(errors.begin(), errors.end()) - errors.begin());
  return best == 0 ? 0 : kAlphas[best - 1];
}

}  // namespace octavo::smoothing
