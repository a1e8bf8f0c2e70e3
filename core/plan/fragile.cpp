#include "plan/fragile.hpp"

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/sqnr.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

namespace octavo::plan {
namespace {

class Chooser {
 public:
  Chooser(const FragileRequest& request, std::vector<MeasuredLayer> layers, uint64_t file_bytes)
      : request_(request), layers_(std::move(layers)) {
    choice_.file_bytes = file_bytes;
    std::sort(layers_.begin(), layers_.end(), [](const MeasuredLayer& a, const MeasuredLayer& b) {
      const double one = a.sqnr_db(), other = b.sqnr_db();
      return one != other ? one < other : a.name < b.name;
    });
  }

  FragileChoice choose() {
    const size_t worst = request_.keep_worst ? request_.keep_worst->of(layers_.size()) : 0;
    for (size_t i = 0; i < layers_.size() && layers_[i].error > 0; ++i) {
      const double sqnr = layers_[i].sqnr_db();
      if (request_.min_sqnr_db && sqnr < *request_.min_sqnr_db) {
        keep(layers_[i], fmt::format("below --min-sqnr {}", *request_.min_sqnr_db));
      } else if (i < worst) {
        keep(layers_[i], fmt::format("among the worst, --keep-worst {}", request_.keep_worst->text));
      }
    }
    if (request_.target_bytes) fill_up_to(*request_.target_bytes);
    return std::move(choice_);
  }

 private:
  void keep(const MeasuredLayer& layer, const std::string& why) {
    choice_.stay.emplace(layer.name, fmt::format("{:.2f} dB, {}", layer.sqnr_db(), why));
    choice_.file_bytes += layer.bytes_more;
  }

  void fill_up_to(uint64_t target) {
    if (choice_.file_bytes > target) {
      throw Error(
          ErrorCode::unsupported,
          fmt::format("[plan] --target-size {} ({} bytes) is too small: {} bytes are needed{}",
                      format_bytes(target), target, choice_.file_bytes,
                      choice_.stay.empty() ? " with every layer quantized" : " with the layers that stay"),
          choice_.stay.empty() ? "a format with fewer bits is smaller"
                               : "ask for less with --min-sqnr or --keep-worst");
    }
    for (const MeasuredLayer& layer : layers_) {
      if (layer.error == 0 || choice_.stay.contains(layer.name)) continue;
      if (layer.bytes_more <= target - choice_.file_bytes)
        keep(layer, fmt::format("there is room for it, --target-size {}", format_bytes(target)));
    }
  }

  const FragileRequest& request_;
  std::vector<MeasuredLayer> layers_;  // the worst first
  FragileChoice choice_;
};

}  // namespace

size_t WorstShare::of(size_t layers) const {
  const double wanted = is_percent ? std::round(value / 100 * static_cast<double>(layers)) : value;
  return std::min(layers, std::max<size_t>(1, static_cast<size_t>(wanted)));
}

WorstShare parse_worst_share(const std::string& text) {
  WorstShare share{0, text.ends_with('%'), text};
  const char* const end = text.data() + text.size() - (share.is_percent ? 1 : 0);
  const auto [rest, problem] = std::from_chars(text.data(), end, share.value);
  const bool is_number = problem == std::errc{} && rest == end;
  const bool fits = share.is_percent
                        ? share.value > 0 && share.value < 100
                        : share.value >= 1 && share.value == std::floor(share.value) && share.value <= 1e9;
  if (is_number && fits) return share;
  throw Error(ErrorCode::usage,
              fmt::format("[options] --keep-worst: '{}' is neither a percentage between 0 and 100 nor a "
                          "number of layers",
                          printable(text)),
              "--keep-worst 5%, or --keep-worst 12");
}

double MeasuredLayer::sqnr_db() const {
  return octavo::sqnr_db(signal, error).value_or(std::numeric_limits<double>::infinity());
}

FragileChoice choose_fragile(const FragileRequest& request, std::vector<MeasuredLayer> layers,
                             uint64_t file_bytes) {
  return Chooser(request, std::move(layers), file_bytes).choose();
}

}  // namespace octavo::plan
