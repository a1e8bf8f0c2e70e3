#include "reports.hpp"

#include <iterator>

namespace octavo::cuda {
namespace {

constexpr std::size_t kRecordsInBlock = 32;

}  // namespace

Reports::Ticket Reports::promise(std::int64_t row_count, Delivery delivery) {
  Promise made{take_record(), row_count > 0 ? take_rows(row_count) : nullptr, std::move(delivery)};
  const Ticket ticket{made.record, made.rows != nullptr ? made.rows->get() : nullptr};
  issued_.push_back(std::move(made));
  return ticket;
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
  for (Promise& promise : slots_[slot])
    promise.delivery(*promise.record, promise.rows != nullptr ? promise.rows->get() : nullptr);
  forget(slot);
}

void Reports::forget(std::uint32_t slot) {
  if (slot >= slots_.size()) return;
  for (Promise& promise : slots_[slot]) give_back(promise);
  slots_[slot].clear();
}

void Reports::give_back(Promise& promise) {
  free_records_.push_back(promise.record);
  if (promise.rows != nullptr) free_rows_.push_back(std::move(promise.rows));
}

Record* Reports::take_record() {
  if (free_records_.empty()) {
    Record* block = blocks_.emplace_back(kRecordsInBlock).get();
    for (std::size_t i = 0; i < kRecordsInBlock; ++i) free_records_.push_back(block + i);
  }
  Record* record = free_records_.back();
  free_records_.pop_back();
  return record;
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
