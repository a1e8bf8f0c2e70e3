// Layers are cut into bands of rows, as for comparing values: a band of weights makes its own columns of the
// outputs, so that bands share nothing but the inputs.
#include "report/output_error.hpp"

#include "base/error.hpp"
#include "report/band_source.hpp"
#include "report/work_sharing.hpp"

#include <octavo/grid.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <utility>

namespace octavo::report {
namespace {

constexpr int64_t kBandElements = int64_t{1} << 20;

// A layer that is judged. Its inputs are there from the first band to the last.
struct Job {
  const StoredLayer* stored = nullptr;
  std::unique_ptr<BandSource> reference;
  LayerOutputs result;
  std::mutex mutex;
  std::shared_ptr<const InputRows> inputs;
  size_t bands_left = 0;
  float absmax = 0;  // of the reference, in the grid's basis, where one scale is the whole layer's
  bool has_absmax = false;
};

struct Band {
  size_t job = 0;
  int64_t begin = 0;
  int64_t count = 0;
  double signal = 0;
  OutputErrors stored = {};
  OutputErrors nearest = {};
  bool is_nearest = true;
};

// "" if the layer can be judged, else why not.
std::string unfit(const StoredLayer& layer, const BandSource& reference, const BandSource& stored) {
  if (std::string reason = reference.unreadable(); !reason.empty()) return reason;
  if (std::string reason = stored.unreadable(); !reason.empty()) return reason;
  if (reference.rows() != layer.rows || reference.cols() != layer.cols) return "the shapes differ";
  if (layer.format->packs()) return "its codes are packed";
  return "";
}

bool runs_as_w8a8(const octavo_grid& grid) {
  const bool one_level = grid.code == OCTAVO_CODE_INTEGER && grid.stored_dtype == OCTAVO_I8 &&
                         grid.scale_levels == 1 && grid.scales[0].dtype == OCTAVO_F32;
  return one_level &&
         (grid.scales[0].granularity == OCTAVO_PER_ROW || grid.scales[0].granularity == OCTAVO_PER_TENSOR);
}

// Codes and scales of a band, in host memory and in the lane's.
struct Parts {
  std::vector<std::byte> codes, scales[2], zero_points;
  LaneBuffer lane_codes, lane_scales[2], lane_zero_points;
  octavo_tile tile{};  // views of the lane's memory
};

struct Worker {
  explicit Worker(BandLane opened) : lane(std::move(opened)) {}
  BandLane lane;
  BandBuffers reference;
  Parts stored, nearest;
  LaneBuffer x, weights, y, y_weights, y_both;
};

octavo_tensor host_view(std::vector<std::byte>& bytes, uint32_t dtype, int64_t rows, int64_t cols) {
  bytes.resize(static_cast<size_t>(rows * cols) * static_cast<size_t>(octavo::bits_of(dtype)) / 8);
  return tensor_view(bytes.data(), dtype, {rows, cols});
}

// A tile of the band with room for its parts in host memory.
octavo_tile host_tile(const octavo_layer& layer, const octavo_grid& grid, const Band& band, Parts& parts) {
  octavo_tile tile{};
  tile.struct_size = sizeof tile;
  tile.layer = &layer;
  tile.grid = &grid;
  tile.row_begin = band.begin;
  tile.codes = host_view(parts.codes, grid.stored_dtype, band.count, grid.cols);
  for (uint32_t i = 0; i < grid.scale_levels; ++i) {
    const ScaleShape shape = scale_shape(grid.scales[i], band.count, grid.cols);
    tile.scales[i] = host_view(parts.scales[i], grid.scales[i].dtype, shape.rows, shape.cols);
  }
  if (grid.code == OCTAVO_CODE_INTEGER_ZERO) {
    const ScaleShape shape = scale_shape(grid.scales[0], band.count, grid.cols);
    tile.zero_points = host_view(parts.zero_points, grid.zero_point_dtype, shape.rows, shape.cols);
  }
  return tile;
}

// Judges one band on one lane.
class BandJudge {
 public:
  BandJudge(const Side& b, const Job& job, const InputRows& inputs, Band& band, Worker& worker)
      : b_(b), job_(job), grid_(job.stored->grid), inputs_(inputs), band_(band), worker_(worker) {
    layer_.struct_size = sizeof layer_;
    layer_.dtype = OCTAVO_F32;
    layer_.name = job.result.name.c_str();
    layer_.key = job.reference->name().c_str();
    layer_.rows = job.stored->rows;
    layer_.cols = job.stored->cols;
  }

  void judge() {
    weights_ = job_.reference->read(lane(), worker_.reference, band_.begin, band_.count);
    auto* values = const_cast<float*>(inputs_.values.data());  // views are of memory that may be written
    x_ = worker_.x.upload(lane(), tensor_view(values, OCTAVO_F32, {inputs_.samples, inputs_.cols}));
    y_ = product(weights_, worker_.y);
    read_stored_parts();
    band_.stored = errors_of(worker_.stored.tile, &band_.signal);
    quantize_nearest();
    band_.is_nearest = same_parts();
    band_.nearest = band_.is_nearest ? band_.stored : errors_of(worker_.nearest.tile, nullptr);
  }

 private:
  BandLane& lane() { return worker_.lane; }

  template <typename Call>
  void run(const char* operation, Call&& call) {
    lane().run(operation,
               [&](octavo_lane* raw, octavo_error* error) { return call(lane().operations(), raw, error); });
  }

  octavo_tensor outputs(LaneBuffer& buffer) {
    return buffer.reserve(lane(), tensor_view(nullptr, OCTAVO_F32, {inputs_.samples, band_.count}));
  }

  octavo_tensor product(const octavo_tensor& weights, LaneBuffer& buffer) {
    octavo_matmul call{};
    call.struct_size = sizeof call;
    call.transpose_b = 1;
    call.precision = OCTAVO_PRECISION_F32;
    call.a = x_;
    call.b = weights;
    call.c = outputs(buffer);
    run("matmul",
        [&](auto& operations, auto* raw, auto* error) { return operations.matmul(raw, &call, error); });
    return call.c;
  }

  octavo_tensor integer_product(const octavo_tile& tile) {
    octavo_matmul_int8 call{};
    call.struct_size = sizeof call;
    call.compute_dtype = OCTAVO_F32;
    call.grid = &grid_;
    call.x = x_;
    call.codes = tile.codes;
    call.scales = tile.scales[0];
    call.y = outputs(worker_.y_both);
    run("matmul_int8",
        [&](auto& operations, auto* raw, auto* error) { return operations.matmul_int8(raw, &call, error); });
    return call.y;
  }

  octavo_tensor dequantized(const octavo_tile& tile) {
    octavo_tensor values =
        worker_.weights.reserve(lane(), tensor_view(nullptr, OCTAVO_F32, {band_.count, grid_.cols}));
    run("dequantize", [&](auto& operations, auto* raw, auto* error) {
      return operations.dequantize(raw, &tile, 1, &values, error);
    });
    return values;
  }

  double squares(const octavo_tensor& a, const octavo_tensor& b, double* signal = nullptr) {
    octavo_error_sums sums{};
    sums.struct_size = sizeof sums;
    run("error_sums", [&](auto& operations, auto* raw, auto* error) {
      return operations.error_sums(raw, &a, &b, &sums, error);
    });
    lane().finish();
    if (signal != nullptr) *signal = sums.signal_sum;
    return sums.error_sum;
  }

  OutputErrors errors_of(const octavo_tile& tile, double* signal) {
    OutputErrors errors;
    const octavo_tensor y_weights = product(dequantized(tile), worker_.y_weights);
    errors.weight = squares(y_, y_weights, signal);
    if (!job_.result.has_w8a8) return errors;
    const octavo_tensor y_both = integer_product(tile);
    errors.activation = squares(y_weights, y_both);
    errors.both = squares(y_, y_both);
    return errors;
  }

  void read_stored_parts() {
    Parts& parts = worker_.stored;
    octavo_tile tile = host_tile(layer_, grid_, band_, parts);
    read_stored(b_.file, *job_.stored, tile);
    tile.codes = parts.lane_codes.upload(lane(), tile.codes);
    for (uint32_t i = 0; i < grid_.scale_levels; ++i)
      tile.scales[i] = parts.lane_scales[i].upload(lane(), tile.scales[i]);
    tile.zero_points = parts.lane_zero_points.upload(lane(), tile.zero_points);
    parts.tile = tile;
  }

  void quantize_nearest() {
    Parts& parts = worker_.nearest;
    octavo_tile tile = host_tile(layer_, grid_, band_, parts);
    tile.source = weights_;
    tile.absmax = job_.absmax;
    if (!lane().on_host()) {
      tile.codes = parts.lane_codes.reserve(lane(), tile.codes);
      for (uint32_t i = 0; i < grid_.scale_levels; ++i)
        tile.scales[i] = parts.lane_scales[i].reserve(lane(), tile.scales[i]);
      if (tile.zero_points.data != nullptr)
        tile.zero_points = parts.lane_zero_points.reserve(lane(), tile.zero_points);
    }
    octavo_tile_result result{};
    result.struct_size = sizeof result;
    run("quantize_nearest", [&](auto& operations, auto* raw, auto* error) {
      return operations.quantize_nearest(raw, &tile, &result, error);
    });
    lane().finish();
    if (needs_layer_absmax(grid_)) write_layer_scale(tile);
    parts.tile = tile;
  }

  // The one scale of a layer is nobody's tile's: quantize_nearest leaves it to whoever knows the absmax.
  void write_layer_scale(octavo_tile& tile) {
    for (uint32_t i = 0; i < grid_.scale_levels; ++i) {
      if (grid_.scales[i].granularity != OCTAVO_PER_TENSOR) continue;
      const float scale = scale_of(job_.absmax, grid_.qmax, grid_.scales[i].floor);
      std::memcpy(worker_.nearest.scales[i].data(), &scale, sizeof scale);
      tile.scales[i] = tensor_view(worker_.nearest.scales[i].data(), OCTAVO_F32, {1, 1});
      tile.scales[i] = worker_.nearest.lane_scales[i].upload(lane(), tile.scales[i]);
    }
  }

  // On a device the parts are not looked at: computing twice is cheaper than fetching them.
  bool same_parts() {
    if (!lane().on_host()) return false;
    const Parts& a = worker_.stored;
    const Parts& b = worker_.nearest;
    return a.codes == b.codes && a.scales[0] == b.scales[0] && a.scales[1] == b.scales[1] &&
           a.zero_points == b.zero_points;
  }

  const Side& b_;
  const Job& job_;
  const octavo_grid& grid_;
  const InputRows& inputs_;
  Band& band_;
  Worker& worker_;
  octavo_layer layer_{};
  octavo_tensor weights_{}, x_{}, y_{};
};

class OutputJudge {
 public:
  OutputJudge(const Side& a, const Side& b, const FindInputs& inputs, const CompareOptions& options)
      : a_(a), b_(b), find_inputs_(inputs), options_(options), workers_(std::max(1u, options.lanes)) {}

  OutputReport judge() {
    for (const StoredLayer& layer : b_.survey.layers) add_job(layer);
    for (size_t i = 0; i < jobs_.size(); ++i) add_bands(i);
    uint64_t total = 0;
    for (const auto& job : jobs_) total += bytes_of(*job);
    Meter meter(total, jobs_.size(), options_.progress);
    share_out(bands_.size(), static_cast<unsigned>(workers_.size()), [&](size_t i, unsigned index) {
      Band& band = bands_[i];
      Job& job = *jobs_[band.job];
      judge_band(job, band, worker(index));
      const double share = static_cast<double>(band.count) / static_cast<double>(job.result.rows);
      meter.add(static_cast<uint64_t>(static_cast<double>(bytes_of(job)) * share), job.result.name);
    });
    meter.finish();
    return collect();
  }

 private:
  static uint64_t bytes_of(const Job& job) { return job.reference->bytes() + job.stored->bytes(); }

  void add_job(const StoredLayer& layer) {
    auto job = std::make_unique<Job>();
    job->stored = &layer;
    job->reference = reference_of(layer.name);
    if (job->reference == nullptr) return leave_out(layer, "the first file has no such layer");
    const BandSource stored(b_.file, layer);
    if (std::string reason = unfit(layer, *job->reference, stored); !reason.empty())
      return leave_out(layer, std::move(reason));
    job->result.name = layer.name;
    job->result.format = layer.format->id();
    job->result.rows = layer.rows;
    job->result.cols = layer.cols;
    job->result.has_w8a8 = runs_as_w8a8(layer.grid);
    jobs_.push_back(std::move(job));
  }

  void leave_out(const StoredLayer& layer, std::string reason) {
    report_.left_out.push_back({layer.name, std::move(reason)});
  }

  std::unique_ptr<BandSource> reference_of(const std::string& name) const {
    if (const StoredLayer* layer = a_.survey.find(name)) return std::make_unique<BandSource>(a_.file, *layer);
    const checkpoint::TensorRef* weight = a_.file.find(name + ".weight");
    if (weight == nullptr) weight = a_.file.find(name);
    if (weight == nullptr || weight->info.shape.size() != 2) return nullptr;
    return std::make_unique<BandSource>(a_.file, *weight);
  }

  void add_bands(size_t index) {
    Job& job = *jobs_[index];
    const int64_t multiple = std::max<int64_t>(1, job.stored->grid.row_multiple);
    const int64_t rows = std::max<int64_t>(1, kBandElements / std::max<int64_t>(1, job.result.cols));
    const int64_t step = (rows + multiple - 1) / multiple * multiple;
    for (int64_t begin = 0; begin < job.result.rows; begin += step) {
      bands_.push_back({index, begin, std::min(step, job.result.rows - begin)});
      ++job.bands_left;
    }
  }

  Worker& worker(unsigned index) {
    if (workers_[index] == nullptr) {
      workers_[index] =
          std::make_unique<Worker>(options_.open_lane(index, static_cast<unsigned>(workers_.size())));
    }
    return *workers_[index];
  }

  void judge_band(Job& job, Band& band, Worker& worker) {
    std::shared_ptr<const InputRows> inputs;
    {
      const std::lock_guard lock(job.mutex);
      if (job.inputs == nullptr && job.result.samples == 0) job.inputs = inputs_of(job);
      inputs = job.inputs;
      if (inputs != nullptr && needs_layer_absmax(job.stored->grid) && !job.has_absmax)
        find_absmax(job, worker);
    }
    if (inputs != nullptr) BandJudge(b_, job, *inputs, band, worker).judge();
    const std::lock_guard lock(job.mutex);
    if (--job.bands_left == 0) job.inputs.reset();
  }

  // Sets the samples: -1 where there are none.
  std::shared_ptr<const InputRows> inputs_of(Job& job) const {
    std::shared_ptr<const InputRows> inputs = find_inputs_(job.result.name);
    job.result.samples = inputs == nullptr || inputs->samples == 0 ? -1 : inputs->samples;
    if (job.result.samples < 0) return nullptr;
    if (inputs->cols != job.result.cols) {
      throw Error(ErrorCode::bad_input,
                  fmt::format("[inputs] layer {}: its inputs have {} columns, its weight has {}",
                              printable(job.result.name), inputs->cols, job.result.cols));
    }
    return inputs;
  }

  // Under the job's lock: the other workers of the layer need it too.
  void find_absmax(Job& job, Worker& worker) const {
    const int64_t step = std::max<int64_t>(1, kBandElements / std::max<int64_t>(1, job.result.cols));
    for (int64_t begin = 0; begin < job.result.rows; begin += step) {
      const octavo_tensor values =
          job.reference->read(worker.lane, worker.reference, begin, std::min(step, job.result.rows - begin));
      octavo_absmax_result result{};
      result.struct_size = sizeof result;
      worker.lane.run("absmax", [&](octavo_lane* raw, octavo_error* error) {
        return worker.lane.operations().absmax(raw, &job.stored->grid, &values, 0, &result, error);
      });
      worker.lane.finish();
      job.absmax = std::max(job.absmax, result.absmax);
    }
    job.has_absmax = true;
  }

  OutputReport collect() {
    for (auto& job : jobs_) job->result.is_nearest = true;
    for (const Band& band : bands_) add(band, jobs_[band.job]->result);
    for (auto& job : jobs_) {
      if (job->result.samples > 0) {
        report_.layers.push_back(std::move(job->result));
      } else {
        report_.left_out.push_back({job->result.name, "the inputs file says nothing about it"});
      }
    }
    std::sort(report_.left_out.begin(), report_.left_out.end(),
              [](const Incomparable& x, const Incomparable& y) { return x.name < y.name; });
    return std::move(report_);
  }

  static void add(const Band& band, LayerOutputs& result) {
    const auto add_errors = [](OutputErrors& sum, const OutputErrors& more) {
      sum.weight += more.weight;
      sum.activation += more.activation;
      sum.both += more.both;
    };
    result.signal += band.signal;
    result.is_nearest = result.is_nearest && band.is_nearest;
    add_errors(result.stored, band.stored);
    add_errors(result.nearest, band.nearest);
  }

  const Side& a_;
  const Side& b_;
  const FindInputs& find_inputs_;
  const CompareOptions& options_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<Job>> jobs_;
  std::vector<Band> bands_;
  OutputReport report_;
};

}  // namespace

OutputReport judge_outputs(const Side& a, const Side& b, const FindInputs& inputs,
                           const CompareOptions& options) {
  return OutputJudge(a, b, inputs, options).judge();
}

}  // namespace octavo::report
