#include "run/layer_preparation.hpp"

#include "base/error.hpp"
#include "calibration/samples.hpp"
#include "run/row_source.hpp"

#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace octavo::run {
namespace {

// Milliseconds since the last lap, or since it was made.
class Stopwatch {
 public:
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const std::chrono::duration<double, std::milli> passed = now - begin_;
    begin_ = now;
    return passed.count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

void zero_nonfinite(octavo_tensor& rows) {
  for (int64_t r = 0; r < rows.shape[0]; ++r) {
    auto* row = octavo::row_of<float>(rows, r);
    std::replace_if(
        row, row + rows.shape[1], [](float value) { return !std::isfinite(value); }, 0.0F);
  }
}

octavo_inputs inputs_of(const SharedInputs& shared) {
  octavo_inputs inputs = shared.samples->view();
  inputs.layers = shared.layers;
  return inputs;
}

// Shared out among the lanes that wait.
calibration::Loop loop_of(IdleLanes& idle) {
  return [&idle](int64_t count, const std::function<void(int64_t)>& body) {
    struct Bodies {
      const std::function<void(int64_t)>& body;
      std::vector<std::exception_ptr> failures;
    } bodies{body, std::vector<std::exception_ptr>(static_cast<size_t>(count))};
    const auto run_one = [](void* context, int64_t i) -> octavo_status {
      auto& all = *static_cast<Bodies*>(context);
      try {
        all.body(i);
      } catch (...) {
        all.failures[static_cast<size_t>(i)] = std::current_exception();
      }
      return OCTAVO_OK;
    };
    idle.parallel(count, run_one, &bodies);
    for (const std::exception_ptr& failure : bodies.failures) {
      if (failure) std::rethrow_exception(failure);
    }
  };
}

std::unique_ptr<calibration::Samples> read_samples(RunShared& shared, const plan::PlannedLayer& layer,
                                                   const calibration::InputGroup& group) {
  const plan::SmoothFactors* columns = layer.origin.columns;
  auto samples = std::make_unique<calibration::Samples>(
      *shared.calibration, group, columns == nullptr ? std::span<const float>() : columns->values,
      loop_of(shared.idle));
  if (shared.means != nullptr && columns == nullptr) shared.means->keep(group, samples->mean());
  return samples;
}

plugin::Preparation prepare_itself(const RunShared& shared, const plan::PlannedLayer& layer,
                                   const SharedInputs* given, plugin::Lane& lane) {
  const plugin::ReadRows read_rows = [&](int64_t row_begin, octavo_tensor& target) {
    make_rows_on_host(shared.source, layer.origin, {row_begin, target.shape[0], layer.layer.cols}, target);
    if (shared.plan.settings.nonfinite == plan::Nonfinite::zero) zero_nonfinite(target);
  };
  std::optional<octavo_inputs> inputs;
  if (given != nullptr) inputs = inputs_of(*given);
  return layer.optimizer->prepare(lane.raw(), layer.layer, layer.grid, read_rows, inputs ? &*inputs : nullptr,
                                  given != nullptr ? given->state : plugin::OptimizerState{});
}

void say_debug(plugin::Lane& lane, const std::string& text) {
  const octavo_host& host = *lane.raw().host;
  host.log(host.context, OCTAVO_LOG_DEBUG, text.c_str());
}

}  // namespace

PreparedLayer prepare_layer(RunShared& shared, uint32_t index, plugin::Lane& lane) {
  const plan::PlannedLayer& layer = *shared.plan.layers[index];
  Stopwatch watch;
  double read = 0;
  PreparedLayer prepared;
  prepared.shared =
      shared.queue->shared_inputs(index, [&](SharedInputs& inputs, const calibration::InputGroup& group) {
        inputs.samples = read_samples(shared, layer, group);
        read = watch.lap();
        inputs.state = layer.optimizer->prepare_inputs(lane.raw(), inputs_of(inputs), layer.grid);
      });
  const double shared_part = watch.lap();
  prepared.preparation = prepare_itself(shared, layer, prepared.shared.get(), lane);
  say_debug(lane,
            fmt::format("{}: inputs read in {:.1f} ms, what shares them prepared in {:.1f}, itself in {:.1f}",
                        printable(layer.name), read, shared_part, watch.lap()));
  return prepared;
}

}  // namespace octavo::run
