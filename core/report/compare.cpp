// First every pair is made from the headers. Then the pairs are cut into bands that the lanes take one after
// the other: values of layers, bytes of tensors that both files store alike, and at last the values of those
// whose bytes turned out to differ. Each band's sums are kept until they are added up in the order of the
// bands.
#include "report/compare.hpp"

#include "base/sqnr.hpp"
#include "base/work_sharing.hpp"
#include "checkpoint/dtypes.hpp"
#include "report/band_work.hpp"
#include "report/unsmoothing.hpp"
#include "stored/band_source.hpp"
#include "stored/quantized_layers.hpp"

#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <set>

namespace octavo::report {
namespace {

using checkpoint::TensorRef;

constexpr int64_t kBandBytes = int64_t{4} << 20;

// Two things of the same name.
struct Pair {
  std::string name;
  std::unique_ptr<stored::BandSource> a = nullptr, b = nullptr;  // null if there are no values to compare
  const TensorRef* tensor_a = nullptr;  // tensors that are stored alike: their bytes are compared first
  const TensorRef* tensor_b = nullptr;
  Difference difference = {};
  bool same_bytes = true;

  bool is_layer() const { return tensor_a == nullptr; }
};

enum class What { bytes, values };

struct Band {
  size_t pair = 0;
  int64_t begin = 0;  // rows, or bytes
  int64_t count = 0;
  uint64_t bytes = 0;  // of both files, for progress
  Difference difference = {};
  bool same_bytes = true;
};

class Pairing {
 public:
  Pairing(const Side& a, const Side& b, Comparison& result) : a_(a), b_(b), result_(result) {}

  std::vector<Pair> make() {
    pair_layers();
    pair_tensors();
    find_only_b();
    return std::move(pairs_);
  }

 private:
  void pair_layers() {
    std::set<std::string> names;
    for (const stored::Layer& layer : a_.survey.layers) names.insert(layer.name);
    for (const stored::Layer& layer : b_.survey.layers) names.insert(layer.name);
    for (const std::string& name : names) {
      Pair pair{.name = name, .a = source_of(a_, name), .b = source_of(b_, name)};
      if (pair.a == nullptr) {
        result_.only_b.push_back(name);
      } else if (pair.b == nullptr) {
        result_.only_a.push_back(name);
      }
      if (pair.a != nullptr) used_a_.insert(pair.a->name());
      if (pair.b != nullptr) used_b_.insert(pair.b->name());
      if (pair.a != nullptr && pair.b != nullptr) add(std::move(pair));
    }
  }

  bool is_free(const Side& side, size_t index, const std::set<std::string>& used) const {
    return !side.survey.owned[index] && !used.contains(side.file.tensors()[index].info.name);
  }

  void pair_tensors() {
    for (size_t i = 0; i < a_.file.tensors().size(); ++i) {
      if (!is_free(a_, i, used_a_)) continue;
      const TensorRef& tensor = a_.file.tensors()[i];
      const std::string& name = tensor.info.name;
      const TensorRef* other = b_.file.find(name);
      const bool taken = other == nullptr || used_b_.contains(name) ||
                         b_.survey.owned[static_cast<size_t>(other - b_.file.tensors().data())];
      if (taken) {
        result_.only_a.push_back(name);
        continue;
      }
      used_b_.insert(name);
      pair_tensor(tensor, *other);
    }
  }

  void pair_tensor(const TensorRef& tensor, const TensorRef& other) {
    const std::string& name = tensor.info.name;
    if (tensor.info.shape != other.info.shape) {
      result_.incomparable.push_back({name, "the shapes differ"});
      return;
    }
    Pair pair{.name = name,
              .a = std::make_unique<stored::BandSource>(a_.file, tensor),
              .b = std::make_unique<stored::BandSource>(b_.file, other)};
    if (tensor.info.dtype == other.info.dtype) {
      pair.tensor_a = &tensor;
      pair.tensor_b = &other;
    } else if (tensor.info.shape.size() == 2) {
      pair.name = stored::base_name(name);  // a layer that a conversion made a cast of
    }
    add(std::move(pair));
  }

  void add(Pair pair) {
    if (pair.a->rows() != pair.b->rows() || pair.a->cols() != pair.b->cols()) {
      result_.incomparable.push_back(
          {pair.name, fmt::format("[{}, {}] and [{}, {}]", pair.a->rows(), pair.a->cols(), pair.b->rows(),
                                  pair.b->cols())});
      return;
    }
    std::string reason = pair.a->unreadable();
    if (reason.empty()) reason = pair.b->unreadable();
    if (!reason.empty() && pair.tensor_a == nullptr) {
      result_.incomparable.push_back({pair.name, reason});
      return;
    }
    if (!reason.empty()) {  // bytes can be compared all the same
      pair.a.reset();
      pair.b.reset();
    }
    pairs_.push_back(std::move(pair));
  }

  void find_only_b() {
    for (size_t i = 0; i < b_.file.tensors().size(); ++i) {
      if (is_free(b_, i, used_b_)) result_.only_b.push_back(b_.file.tensors()[i].info.name);
    }
    std::sort(result_.only_a.begin(), result_.only_a.end());
    std::sort(result_.only_b.begin(), result_.only_b.end());
  }

  const Side& a_;
  const Side& b_;
  Comparison& result_;
  std::set<std::string> used_a_, used_b_;  // tensors that are a pair's
  std::vector<Pair> pairs_;
};

int64_t rows_of_band(const Pair& pair) {
  return stored::band_rows(pair.a->cols(), std::lcm(pair.a->row_multiple(), pair.b->row_multiple()));
}

void add_bands(const std::vector<Pair>& pairs, size_t index, What what, std::vector<Band>& bands) {
  const Pair& pair = pairs[index];
  const bool values = what == What::values;
  const auto end = values ? pair.a->rows() : static_cast<int64_t>(pair.tensor_a->info.bytes());
  const int64_t step = values ? rows_of_band(pair) : kBandBytes;
  const uint64_t bytes = values ? pair.a->bytes() + pair.b->bytes() : 2 * pair.tensor_a->info.bytes();
  for (int64_t begin = 0; begin < end; begin += step) {
    const int64_t count = std::min(step, end - begin);
    const auto share = static_cast<double>(count) / static_cast<double>(end);
    bands.push_back({index, begin, count, static_cast<uint64_t>(static_cast<double>(bytes) * share)});
  }
}

// One thread's lane and buffers. The lane is closed last.
struct Worker {
  explicit Worker(stored::BandLane opened) : lane(std::move(opened)) {}
  stored::BandLane lane;
  stored::BandBuffers a, b;
  std::vector<std::byte> bytes_a, bytes_b;
};

bool same_bytes(const Side& a, const Side& b, const Pair& pair, const Band& band, Worker& worker) {
  const auto offset = static_cast<uint64_t>(band.begin);
  const auto size = static_cast<size_t>(band.count);
  worker.bytes_a.resize(size);
  worker.bytes_b.resize(size);
  a.file.read(*pair.tensor_a, offset, worker.bytes_a);
  b.file.read(*pair.tensor_b, offset, worker.bytes_b);
  return std::memcmp(worker.bytes_a.data(), worker.bytes_b.data(), size) == 0;
}

Difference difference_of(const Pair& pair, const Band& band, Worker& worker) {
  const octavo_tensor values_a = pair.a->read(worker.lane, worker.a, band.begin, band.count);
  const octavo_tensor values_b = pair.b->read(worker.lane, worker.b, band.begin, band.count);
  const octavo_error_sums sums = worker.lane.error_sums(values_a, values_b);
  const auto elements = static_cast<uint64_t>(band.count) * static_cast<uint64_t>(pair.a->cols());
  return {sums.error_sum, sums.signal_sum, sums.max_error, elements};
}

template <typename Measure>
void measure(std::vector<Pair>& pairs, std::vector<Band>& bands, Workers<Worker>& workers, Meter& meter,
             const CheckStop& check_stop, Measure&& one) {
  const auto measure_band = [&](size_t i, unsigned index) {
    one(bands[i], workers.at(index));
    meter.add(bands[i].bytes, pairs[bands[i].pair].name);
  };
  share_out(bands.size(), workers.count(), measure_band, check_stop);
  for (const Band& band : bands) {
    pairs[band.pair].difference.add(band.difference);
    pairs[band.pair].same_bytes = pairs[band.pair].same_bytes && band.same_bytes;
  }
}

void measure_all(const Side& a, const Side& b, std::vector<Pair>& pairs, const CompareOptions& options) {
  std::vector<Band> bands;
  for (size_t i = 0; i < pairs.size(); ++i) {
    add_bands(pairs, i, pairs[i].is_layer() ? What::values : What::bytes, bands);
  }
  uint64_t total = 0;
  for (const Band& band : bands) total += band.bytes;
  Meter meter(total, pairs.size(), options.progress);
  Workers<Worker> workers(options);
  const auto values = [&](Band& band, Worker& worker) {
    band.difference = difference_of(pairs[band.pair], band, worker);
  };
  measure(pairs, bands, workers, meter, options.check_stop, [&](Band& band, Worker& worker) {
    if (pairs[band.pair].is_layer()) return values(band, worker);
    band.same_bytes = same_bytes(a, b, pairs[band.pair], band, worker);
  });
  std::vector<Band> changed;
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (!pairs[i].same_bytes && pairs[i].a != nullptr) add_bands(pairs, i, What::values, changed);
  }
  for (Band& band : changed) band.bytes = 0;  // counted once
  measure(pairs, changed, workers, meter, options.check_stop, values);
  meter.finish();
}

void report_pair(const Pair& pair, Comparison& result) {
  if (pair.is_layer()) {
    result.layers.push_back({pair.name, pair.a->stored_as(), pair.b->stored_as(), pair.a->rows(),
                             pair.a->cols(), pair.a->bytes(), pair.b->bytes(), pair.difference});
    result.total.add(pair.difference);
  } else if (pair.same_bytes) {
    ++result.equal;
  } else {
    result.changed.push_back({pair.name, checkpoint::name(pair.tensor_a->info.dtype),
                              pair.a == nullptr ? std::nullopt : std::optional(pair.difference)});
  }
}

}  // namespace

void Difference::add(const Difference& other) {
  error_sum += other.error_sum;
  signal_sum += other.signal_sum;
  max_error = std::max(max_error, other.max_error);
  elements += other.elements;
}

std::optional<double> Difference::sqnr_db() const { return octavo::sqnr_db(signal_sum, error_sum); }

double Difference::relative_error() const { return error_sum == 0 ? 0 : std::sqrt(error_sum / signal_sum); }

Comparison compare(const Side& a, const Side& b, const CompareOptions& options) {
  Comparison result;
  std::vector<Pair> pairs = Pairing(a, b, result).make();
  const Unsmoothing unsmoothing(a, b, options);
  for (Pair& pair : pairs) {
    const stored::Scaling* scaling = unsmoothing.find(pair.name);
    if (scaling != nullptr && pair.b != nullptr) pair.b->scale_by(*scaling);
  }
  measure_all(a, b, pairs, options);
  std::sort(pairs.begin(), pairs.end(), [](const Pair& x, const Pair& y) { return x.name < y.name; });
  for (const Pair& pair : pairs) report_pair(pair, result);
  return result;
}

}  // namespace octavo::report
