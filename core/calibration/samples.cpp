#include "calibration/samples.hpp"

#include "reference/convert.hpp"

#include <octavo/tensor.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace octavo::calibration {
namespace {

octavo_tensor column_view(std::vector<float>& values) {
  octavo_tensor view{};
  if (!values.empty())
    view = octavo::tensor_view(values.data(), OCTAVO_F32, {static_cast<int64_t>(values.size())});
  return view;
}

uint32_t dtype_in_memory(const InputGroup& group, bool is_divided) {
  const bool as_stored = group.contents.samples->info.dtype == OCTAVO_BF16 && !is_divided;
  return as_stored ? OCTAVO_BF16 : OCTAVO_F32;
}

// Of what one body of a loop does.
constexpr uint64_t kPieceBytes = uint64_t{4} << 20;
constexpr size_t kPieceColumns = 1024;

// For each column the sum of its values in the order of the rows, and its largest magnitude.
struct ColumnStatistics {
  std::vector<double> sums;
  std::vector<float> largest;

  explicit ColumnStatistics(size_t cols) : sums(cols), largest(cols) {}

  // Columns [begin, end) of a row.
  template <typename Value, typename Convert>
  void add(const Value* row, size_t begin, size_t end, Convert convert) {
    for (size_t c = begin; c < end; ++c) {
      const float value = convert(row[c]);
      sums[c] += value;
      largest[c] = std::max(largest[c], std::fabs(value));
    }
  }
};

}  // namespace

void in_turn(int64_t count, const std::function<void(int64_t i)>& body) {
  for (int64_t i = 0; i < count; ++i) body(i);
}

uint64_t Samples::bytes_of(const InputGroup& group, bool is_divided) {
  if (!group.has_samples()) return 0;
  return group.rows.size() * static_cast<uint64_t>(group.cols()) *
         octavo::bytes_of(dtype_in_memory(group, is_divided));
}

Samples::Samples(const Calibration& calibration, const InputGroup& group, std::span<const float> divisors,
                 const Loop& loop)
    : mean_(group.contents.mean), channel_max_(group.contents.channel_max) {
  view_.struct_size = sizeof view_;
  if (group.has_samples()) {
    const bool is_divided = !divisors.empty();
    dtype_ = dtype_in_memory(group, is_divided);
    count_ = static_cast<int64_t>(group.rows.size());
    cols_ = group.cols();
    rows_ = LargeBlock(bytes_of(group, is_divided));
    read(calibration, group, loop);
    const uint32_t stored = group.contents.samples->info.dtype;
    if (octavo::bytes_of(stored) < octavo::bytes_of(dtype_)) widen(stored);
    if (group.contents.recorded) add_statistics(loop);
  }
  divide(divisors);
  if (group.has_samples()) view_.samples = octavo::tensor_view(rows_.data(), dtype_, {count_, cols_});
  view_.mean = column_view(mean_);
  view_.channel_max = column_view(channel_max_);
}

// Halves are read into the end of the block and widened from its beginning.
void Samples::read(const Calibration& calibration, const InputGroup& group, const Loop& loop) {
  const uint64_t row_bytes =
      static_cast<uint64_t>(cols_) * octavo::bytes_of(group.contents.samples->info.dtype);
  const uint64_t bytes = static_cast<uint64_t>(count_) * row_bytes;
  const std::span<std::byte> target = std::span<std::byte>(rows_.data(), rows_.size()).last(bytes);
  const auto rows_each = static_cast<int64_t>(std::max<uint64_t>(kPieceBytes / row_bytes, 1));
  loop((count_ + rows_each - 1) / rows_each, [&](int64_t i) {
    const int64_t begin = i * rows_each, count = std::min(rows_each, count_ - begin);
    calibration.read(
        group, begin, count,
        target.subspan(static_cast<uint64_t>(begin) * row_bytes, static_cast<uint64_t>(count) * row_bytes));
  });
}

void Samples::widen(uint32_t stored) {
  const std::byte* halves = rows_.data() + rows_.size() / 2;
  for (int64_t i = 0; i < count_ * cols_; ++i) {
    const float value = reference::load(halves, stored, i);
    std::memcpy(rows_.data() + i * 4, &value, sizeof value);
  }
}

void Samples::divide(std::span<const float> divisors) {
  if (divisors.empty()) return;
  auto* value = reinterpret_cast<float*>(rows_.data());
  for (int64_t row = 0; row < count_; ++row) {
    for (const float divisor : divisors) *value++ /= divisor;
  }
  for (std::vector<float>* statistic : {&mean_, &channel_max_}) {
    for (size_t c = 0; c < statistic->size(); ++c) (*statistic)[c] /= divisors[c];
  }
}

void Samples::add_statistics(const Loop& loop) {
  const bool needs_mean = mean_.empty();
  const bool needs_max = channel_max_.empty();
  if (!needs_mean && !needs_max) return;
  const auto width = static_cast<size_t>(cols_);
  ColumnStatistics found(width);
  loop(static_cast<int64_t>((width + kPieceColumns - 1) / kPieceColumns), [&](int64_t i) {
    const size_t begin = static_cast<size_t>(i) * kPieceColumns, end = std::min(begin + kPieceColumns, width);
    for (size_t row = 0; row < static_cast<size_t>(count_); ++row) {
      if (dtype_ == OCTAVO_BF16) {
        const auto* values = reinterpret_cast<const uint16_t*>(rows_.data()) + row * width;
        found.add(values, begin, end, [](uint16_t bits) { return octavo::from_bf16(bits); });
      } else {
        const auto* values = reinterpret_cast<const float*>(rows_.data()) + row * width;
        found.add(values, begin, end, [](float value) { return value; });
      }
    }
  });
  if (needs_max) channel_max_ = std::move(found.largest);
  if (!needs_mean) return;
  mean_.resize(width);
  for (size_t c = 0; c < width; ++c)
    mean_[c] = static_cast<float>(found.sums[c] / static_cast<double>(count_));
}

}  // namespace octavo::calibration
