// Layers are cut into bands of rows, as for comparing values: a band of weights makes its own columns of the
// outputs, so that bands share nothing but the inputs.
#include "report/output_error.hpp"

#include "base/error.hpp"
#include "base/work_sharing.hpp"
#include "report/band_judge.hpp"
#include "report/band_work.hpp"
#include "report/unsmoothing.hpp"
#include "stored/band_source.hpp"

#include <octavo/grid.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <utility>

namespace octavo::report {
namespace {

// A layer that is judged. Its inputs are there from the first band to the last.
struct Job {
  const stored::Layer* stored = nullptr;
  std::unique_ptr<stored::BandSource> reference;
  LayerOutputs result;
  std::mutex mutex;
  std::shared_ptr<const InputRows> inputs;
  std::shared_ptr<const InputRows> stored_inputs;  // what the stored layer is given: smoothed, or the same
  const stored::Scaling* smoothing = nullptr;      // that undoes what b folded; nullptr: nothing
  stored::Scaling reference_scaling;               // of rows that b has divided
  size_t bands_left = 0;
  float absmax = 0;  // of the reference, in the grid's basis, where one scale is the whole layer's
  bool has_absmax = false;
};

struct Band {
  size_t job = 0;
  int64_t begin = 0;
  int64_t count = 0;
  BandVerdict verdict = {};
};

// "" if the layer can be judged, else why not.
std::string unfit(const stored::Layer& layer, const stored::BandSource& reference,
                  const stored::BandSource& stored) {
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

class OutputJudge {
 public:
  OutputJudge(const Side& a, const Side& b, const FindInputs& inputs, const CompareOptions& options)
      : a_(a),
        b_(b),
        find_inputs_(inputs),
        options_(options),
        unsmoothing_(a, b, options),
        workers_(options) {}

  OutputReport judge() {
    for (const stored::Layer& layer : b_.survey.layers) add_job(layer);
    for (size_t i = 0; i < jobs_.size(); ++i) add_bands(i);
    uint64_t total = 0;
    for (const auto& job : jobs_) total += bytes_of(*job);
    Meter meter(total, jobs_.size(), options_.progress);
    const auto judge_band = [&](size_t i, unsigned index) {
      Band& band = bands_[i];
      Job& job = *jobs_[band.job];
      work_on(job, band, workers_.at(index));
      const double share = static_cast<double>(band.count) / static_cast<double>(job.result.rows);
      meter.add(static_cast<uint64_t>(static_cast<double>(bytes_of(job)) * share), job.result.name);
    };
    share_out(bands_.size(), workers_.count(), judge_band, options_.check_stop);
    meter.finish();
    return collect();
  }

 private:
  static uint64_t bytes_of(const Job& job) { return job.reference->bytes() + job.stored->bytes(); }

  void add_job(const stored::Layer& layer) {
    auto job = std::make_unique<Job>();
    job->stored = &layer;
    job->reference = source_of(a_, layer.name);
    if (job->reference == nullptr) return leave_out(layer, "the first file has no such layer");
    const stored::BandSource stored(b_.file, layer);
    if (std::string reason = unfit(layer, *job->reference, stored); !reason.empty())
      return leave_out(layer, std::move(reason));
    job->smoothing = unsmoothing_.find(layer.name);
    if (job->smoothing != nullptr && !job->smoothing->rows.empty()) {
      job->reference_scaling.rows = job->smoothing->rows;
      for (float& factor : job->reference_scaling.rows) factor = 1 / factor;
      job->reference->scale_by(job->reference_scaling);
    }
    job->result.name = layer.name;
    job->result.format = layer.format->id();
    job->result.rows = layer.rows;
    job->result.cols = layer.cols;
    job->result.has_w8a8 = runs_as_w8a8(layer.grid);
    jobs_.push_back(std::move(job));
  }

  void leave_out(const stored::Layer& layer, std::string reason) {
    report_.left_out.push_back({layer.name, std::move(reason)});
  }

  void add_bands(size_t index) {
    Job& job = *jobs_[index];
    const int64_t step =
        stored::band_rows(job.result.cols, std::max<int64_t>(1, job.stored->grid.row_multiple));
    for (int64_t begin = 0; begin < job.result.rows; begin += step) {
      bands_.push_back({index, begin, std::min(step, job.result.rows - begin)});
      ++job.bands_left;
    }
  }

  void work_on(Job& job, Band& band, JudgeWorker& worker) {
    std::shared_ptr<const InputRows> inputs, stored_inputs;
    {
      const std::lock_guard lock(job.mutex);
      if (job.inputs == nullptr && job.result.samples == 0) {
        job.inputs = inputs_of(job);
        job.stored_inputs = smoothed(job.inputs, job.smoothing);
      }
      inputs = job.inputs;
      stored_inputs = job.stored_inputs;
      if (inputs != nullptr && needs_layer_absmax(job.stored->grid) && !job.has_absmax)
        find_absmax(job, worker);
    }
    if (inputs != nullptr) {
      const JudgedLayer layer{b_.file, *job.stored, *job.reference, job.absmax, job.result.has_w8a8};
      band.verdict = report::judge_band(layer, {*inputs, *stored_inputs}, band.begin, band.count, worker);
    }
    const std::lock_guard lock(job.mutex);
    if (--job.bands_left == 0) {
      job.inputs.reset();
      job.stored_inputs.reset();
    }
  }

  static std::shared_ptr<const InputRows> smoothed(const std::shared_ptr<const InputRows>& inputs,
                                                   const stored::Scaling* smoothing) {
    if (inputs == nullptr || smoothing == nullptr || smoothing->columns.empty()) return inputs;
    auto divided = std::make_shared<InputRows>(*inputs);
    for (size_t i = 0; i < divided->values.size(); ++i)
      divided->values[i] *= smoothing->columns[i % smoothing->columns.size()];
    return divided;
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
  void find_absmax(Job& job, JudgeWorker& worker) const {
    const int64_t step = stored::band_rows(job.result.cols);
    for (int64_t begin = 0; begin < job.result.rows; begin += step) {
      if (options_.check_stop) options_.check_stop();
      const octavo_tensor values =
          job.reference->read(worker.lane, worker.reference, begin, std::min(step, job.result.rows - begin));
      job.absmax = std::max(job.absmax, worker.lane.absmax(job.stored->grid, values));
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
    result.signal += band.verdict.signal;
    result.is_nearest = result.is_nearest && band.verdict.is_nearest;
    add_errors(result.stored, band.verdict.stored);
    add_errors(result.nearest, band.verdict.nearest);
  }

  const Side& a_;
  const Side& b_;
  const FindInputs& find_inputs_;
  const CompareOptions& options_;
  const Unsmoothing unsmoothing_;
  Workers<JudgeWorker> workers_;
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
