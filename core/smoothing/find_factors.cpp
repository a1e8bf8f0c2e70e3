#include "smoothing/find_factors.hpp"

#include "base/work_sharing.hpp"
#include "calibration/samples.hpp"
#include "reference/convert.hpp"
#include "run/row_source.hpp"
#include "smoothing/alpha_search.hpp"
#include "smoothing/formula.hpp"
#include "stored/band_source.hpp"

#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <set>

namespace octavo::smoothing {
namespace {

void raise(std::vector<float>& largest, std::span<const float> values) {
  for (size_t c = 0; c < largest.size(); ++c) {
    const float magnitude = std::fabs(values[c]);
    if (magnitude > largest[c] && std::isfinite(magnitude)) largest[c] = magnitude;
  }
}

// A tensor of one value for each channel, as f32.
std::vector<float> channel_values(const checkpoint::Checkpoint& source, const plan::RowOrigin& origin,
                                  int64_t channels) {
  std::vector<float> values(static_cast<size_t>(channels));
  octavo_tensor view = octavo::tensor_view(values.data(), OCTAVO_F32, {channels, 1});
  run::make_rows_on_host(source, origin, {0, channels, 1}, view);
  return values;
}

float as_stored(float value, octavo_dtype dtype) {
  alignas(8) std::byte bytes[8] = {};
  reference::store(value, dtype, bytes, 0);
  return reference::load(bytes, dtype, 0);
}

class GroupFinder {
 public:
  GroupFinder(plan::Smoothing& group, const run::Sources& sources, const CheckStop& check_stop)
      : group_(group), sources_(sources), check_stop_(check_stop) {}

  bool is_quantized() const {
    return std::any_of(group_.readers.begin(), group_.readers.end(),
                       [](const plan::SmoothedReader& reader) { return reader.grid != nullptr; });
  }

  // False where a search was asked for and there are no rows to judge by.
  bool find(const plan::SmoothingRequest& request, const OpenLane& open_lane) {
    const std::vector<float> weights = weight_max();
    double alpha = request.alpha.value_or(plan::kDefaultAlpha);
    bool is_searched = true;
    if (!request.alpha) {
      const SearchProblem problem{sources_, group_, weights, [this](std::vector<float> factors) {
                                    return storable(std::move(factors));
                                  }};
      const std::optional<double> best = search_alpha(problem, open_lane);
      is_searched = best.has_value();
      alpha = best.value_or(plan::kDefaultAlpha);
    }
    group_.alpha = alpha;
    group_.factors.values = alpha == 0 && !request.alpha
                                ? std::vector<float>(weights.size(), 1.0F)
                                : storable(smooth_factors(input_max(), weights, alpha));
    return is_searched;
  }

 private:
  std::vector<float> weight_max() const {
    std::vector<float> largest(static_cast<size_t>(group_.channels));
    for (const plan::SmoothedReader& reader : group_.readers) {
      if (reader.grid == nullptr) continue;
      const int64_t rows = reader.origin.row_count();
      const int64_t step = stored::band_rows(group_.channels);
      std::vector<float> band(static_cast<size_t>(step * group_.channels));
      for (int64_t begin = 0; begin < rows; begin += step) {
        if (check_stop_) check_stop_();
        const int64_t count = std::min(step, rows - begin);
        octavo_tensor view = octavo::tensor_view(band.data(), OCTAVO_F32, {count, group_.channels});
        run::make_rows_on_host(sources_.checkpoint, reader.origin, {begin, count, group_.channels}, view);
        for (int64_t r = 0; r < count; ++r)
          raise(largest, {octavo::row_of<float>(view, r), static_cast<size_t>(group_.channels)});
      }
    }
    return largest;
  }

  // Of all that is known: layers of a group read the same inputs, but may have been recorded one by one.
  std::vector<float> input_max() const {
    std::vector<float> largest(static_cast<size_t>(group_.channels));
    std::set<const calibration::InputGroup*> seen;
    for (const plan::SmoothedReader& reader : group_.readers) {
      if (reader.inputs == nullptr || !seen.insert(reader.inputs).second) continue;
      const std::vector<float>& stated = reader.inputs->contents.channel_max;
      if (!stated.empty()) {
        raise(largest, stated);
      } else if (const calibration::Samples samples(*sources_.calibration, *reader.inputs);
                 !samples.channel_max().empty()) {
        raise(largest, samples.channel_max());
      }
    }
    return largest;
  }

  // What a norm's dtype makes of the divided gain decides: with s = gain / stored gain nothing is rounded. A
  // channel whose gain or shift is not held at all keeps the factor 1.
  std::vector<float> storable(std::vector<float> factors) {
    if (!group_.gain) return factors;
    if (gain_.empty()) {
      gain_ = channel_values(sources_.checkpoint, *group_.gain, group_.channels);
      if (group_.shift) shift_ = channel_values(sources_.checkpoint, *group_.shift, group_.channels);
    }
    const octavo_dtype dtype = group_.gain->tensor->info.dtype;
    for (size_t j = 0; j < factors.size(); ++j) {
      const float stored = as_stored(gain_[j] / factors[j], dtype);
      const bool is_lost = !std::isfinite(stored) || (stored == 0 && gain_[j] != 0);
      if (!is_lost && gain_[j] != 0) factors[j] = gain_[j] / stored;
      const bool shift_is_lost =
          group_.shift && !std::isfinite(as_stored(shift_[j] / factors[j], group_.shift->tensor->info.dtype));
      if (is_lost || shift_is_lost) factors[j] = 1;
    }
    return factors;
  }

  plan::Smoothing& group_;
  const run::Sources& sources_;
  const CheckStop& check_stop_;
  std::vector<float> gain_, shift_;
};

}  // namespace

void find_factors(plan::Plan& plan, const run::Sources& sources, const report::CompareOptions& lanes) {
  if (plan.smoothings.empty()) return;
  std::atomic<size_t> without_rows{0};
  const unsigned threads = std::max(1u, lanes.lanes);
  const auto find_of_group = [&](size_t i, unsigned worker) {
    GroupFinder finder(*plan.smoothings[i], sources, lanes.check_stop);
    const OpenLane open_lane = [&] { return lanes.open_lane(worker, threads); };
    if (finder.is_quantized() && !finder.find(*plan.settings.smoothing, open_lane)) ++without_rows;
  };
  share_out(plan.smoothings.size(), threads, find_of_group, lanes.check_stop);
  if (without_rows > 0) {
    plan.notes.push_back(fmt::format(
        "{} groups of layers are smoothed with alpha {}: no rows of their inputs are known to search with",
        without_rows.load(), plan::kDefaultAlpha));
  }
}

}  // namespace octavo::smoothing
