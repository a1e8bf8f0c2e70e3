// Reports: the host structs that operations have promised to fill, until their slot is waited for.
//
// A launch writes its record into pinned memory; the caller's struct is filled from it in wait(), when the
// launch is known to be done.
#pragma once

#include "memory.hpp"
#include "record.hpp"

#include <octavo/abi/backend.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace octavo::cuda {

// What the launches of an operation have found together.
struct Findings {
  double error_sum = 0.0;
  double signal_sum = 0.0;
  float max_error = 0.0f;
  float absmax = 0.0f;
  std::int64_t nonfinite = 0;
  std::int64_t first = -1;
  std::int64_t overflow = 0;
  std::int64_t underflow = 0;
  std::int64_t floored = 0;

  void add(const Record& record);
};

// One lane's; used by its thread.
class Reports {
 public:
  // What to do with what the next launches find, once the work issued so far is done. Returns `row_count`
  // doubles of pinned memory that go with it, nullptr for 0.
  using Delivery = std::function<void(const Findings&, const double* rows)>;
  double* promise(std::int64_t row_count, Delivery delivery);
  // The record of a launch, for the last promise.
  Record* record();
  // Takes the last promise back: its launches did not come about.
  void revoke();

  // What was promised since the last call now belongs to `slot`.
  void assign(std::uint32_t slot);
  // The slot's work is done: fills what was promised. After a failure: forgets it.
  void deliver(std::uint32_t slot);
  void forget(std::uint32_t slot);

 private:
  struct Promise {
    std::vector<Record*> records;
    std::unique_ptr<Pinned<double>> rows;
    Delivery delivery;
  };
  std::unique_ptr<Pinned<double>> take_rows(std::int64_t count);
  void give_back(Promise& promise);

  std::vector<Pinned<Record>> blocks_;
  std::vector<Record*> free_records_;
  std::vector<std::unique_ptr<Pinned<double>>> free_rows_;
  std::vector<Promise> issued_;
  std::vector<std::vector<Promise>> slots_;
};

}  // namespace octavo::cuda
