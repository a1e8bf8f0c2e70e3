#include "reports.hpp"

#include <algorithm>
#include <iterator>

namespace octavo::cuda {
namespace {

constexpr unsigned kLeastRecords = 2048;  // more than a launch on a large GPU has
constexpr std::size_t kTotalsInBlock = 32;

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

Record* Reports::take_total() {
  if (free_totals_.empty()) {
    Record* block = totals_.emplace_back(kTotalsInBlock).get();
    for (std::size_t i = 0; i < kTotalsInBlock; ++i) free_totals_.push_back(block + i);
  }
  Record* const total = free_totals_.back();
  free_totals_.pop_back();
  return total;
}

Record* Reports::take_records(unsigned blocks, cudaStream_t stream) {
  if (room_ - used_ < blocks) {
    const unsigned room = std::max({blocks, kLeastRecords, 2 * room_});
    records_.emplace_back(stream, room, "lane");  // throws where there is no memory
    room_ = room;
    used_ = 0;
  }
  Record* const first = records_.back().get() + used_;
  used_ += blocks;
  return first;
}

Record* Reports::records(unsigned blocks, cudaStream_t stream) {
  Record* const records = take_records(blocks, stream);
  Record* const total = take_total();
  parts_.push_back({records, blocks, total});
  issued_.back().totals.push_back(total);
  return records;
}

void Reports::revoke() {
  const std::size_t count = issued_.back().totals.size();
  parts_.resize(parts_.size() - count);
  give_back(issued_.back());
  issued_.pop_back();
}

void Reports::assign(std::uint32_t slot, cudaStream_t stream) {
  for (std::size_t done = 0; done < parts_.size();) {
    Totals totals;
    const std::size_t count = std::min<std::size_t>(parts_.size() - done, Totals::kMost);
    std::copy_n(parts_.begin() + static_cast<std::ptrdiff_t>(done), count, totals.parts);
    add_up(totals, static_cast<unsigned>(count), stream);
    done += count;
  }
  parts_.clear();
  if (records_.size() > 1) records_.erase(records_.begin(), records_.end() - 1);
  used_ = 0;
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
    for (const Record* total : promise.totals) findings.add(*total);
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
  free_totals_.insert(free_totals_.end(), promise.totals.begin(), promise.totals.end());
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
