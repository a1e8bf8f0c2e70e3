#include "reports.hpp"

#include <algorithm>
#include <iterator>

namespace octavo::cuda {
namespace {

constexpr std::size_t kRecordsInBlock = 32;

}  // namespace

void Findings::add(const Record& record) {
  error_sum += record.error_sum;
  signal_sum += record.signal_sum;
  max_error = std::max(max_error, record.max_error);
  absmax = std::max(absmax, record.absmax);
  nonfinite += record.nonfinite;
  if (record.first >= 0 && (first < 0 || record.first < first)) first = record.first;
  overflow += record.overflow;
  underflow += record.underflow;
  floored += record.floored;
}

double* Reports::promise(std::int64_t row_count, Delivery delivery) {
  Promise made{{}, row_count > 0 ? take_rows(row_count) : nullptr, std::move(delivery)};
  double* const rows = made.rows != nullptr ? made.rows->get() : nullptr;
  issued_.push_back(std::move(made));
  return rows;
}

Record* Reports::record() {
  if (free_records_.empty()) {
    Record* block = blocks_.emplace_back(kRecordsInBlock).get();
    for (std::size_t i = 0; i < kRecordsInBlock; ++i) free_records_.push_back(block + i);
  }
  Record* const record = free_records_.back();
  free_records_.pop_back();
  issued_.back().records.push_back(record);
  return record;
}

void Reports::revoke() {
  give_back(issued_.back());
  issued_.pop_back();
}

void Reports::assign(std::uint32_t slot) {
  if (slot >= slots_.size()) slots_.resize(slot + std::size_t{1});
  std::vector<Promise>& target = slots_[slot];
  target.insert(target.end(), std::make_move_iterator(issued_.begin()),
                std::make_move_iterator(issued_.end()));
  issued_.clear();
}

void Reports::deliver(std::uint32_t slot) {
  if (slot >= slots_.size()) return;
  for (const Promise& promise : slots_[slot]) {
    Findings findings;
    for (const Record* record : promise.records) findings.add(*record);
    promise.delivery(findings, promise.rows != nullptr ? promise.rows->get() : nullptr);
  }
  forget(slot);
}

void Reports::forget(std::uint32_t slot) {
  if (slot >= slots_.size()) return;
  for (Promise& promise : slots_[slot]) give_back(promise);
  slots_[slot].clear();
}

void Reports::give_back(Promise& promise) {
  free_records_.insert(free_records_.end(), promise.records.begin(), promise.records.end());
  if (promise.rows != nullptr) free_rows_.push_back(std::move(promise.rows));
}

std::unique_ptr<Pinned<double>> Reports::take_rows(std::int64_t count) {
  const auto wanted = static_cast<std::size_t>(count);
  for (auto& rows : free_rows_) {
    if (rows->size() < wanted) continue;
    std::swap(rows, free_rows_.back());
    auto taken = std::move(free_rows_.back());
    free_rows_.pop_back();
    return taken;
  }
  return std::make_unique<Pinned<double>>(wanted);
}

}  // namespace octavo::cuda
