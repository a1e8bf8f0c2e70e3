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

// One lane's; used by its thread.
class Reports {
 public:
  // A record for the next launch, and what to do with it once the work issued so far is done. `row_count`
  // doubles of pinned memory go with it where that is not 0.
  struct Ticket {
    Record* record;
    double* rows;  // nullptr if row_count is 0
  };
  using Delivery = std::function<void(const Record&, const double* rows)>;
  Ticket promise(std::int64_t row_count, Delivery delivery);
  // Takes the last promise back: its launch did not come about.
  void revoke();

  // What was promised since the last call now belongs to `slot`.
  void assign(std::uint32_t slot);
  // The slot's work is done: fills what was promised. After a failure: forgets it.
  void deliver(std::uint32_t slot);
  void forget(std::uint32_t slot);

 private:
  struct Promise {
    Record* record;
    std::unique_ptr<Pinned<double>> rows;
    Delivery delivery;
  };
  Record* take_record();
  std::unique_ptr<Pinned<double>> take_rows(std::int64_t count);
  void give_back(Promise& promise);

  std::vector<Pinned<Record>> blocks_;
  std::vector<Record*> free_records_;
  std::vector<std::unique_ptr<Pinned<double>>> free_rows_;
  std::vector<Promise> issued_;
  std::vector<std::vector<Promise>> slots_;
};

}  // namespace octavo::cuda
