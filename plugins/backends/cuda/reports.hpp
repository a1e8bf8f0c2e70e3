// Reports: the host structs that operations have promised to fill, until their slot is waited for.
//
// The blocks of a launch write their records into device memory. Where a slot's work ends, one small launch
// adds up those of each of its launches into pinned memory, and the caller's structs are filled from there in
// wait(), when that is known to be done. (Blocks that wrote to pinned memory, or a last one that added up the
// others', would make a launch longer by a tenth.)
#pragma once

#include "memory.hpp"
#include "record.hpp"
#include "totals.hpp"

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
  // A record for each block of a launch, for the last promise.
  Record* records(unsigned blocks, cudaStream_t stream);
  // Takes the last promise back: its launches did not come about.
  void revoke();

  // What was promised since the last call now belongs to `slot`. Issues the sums.
  void assign(std::uint32_t slot, cudaStream_t stream);
  // The slot's work is done: fills what was promised. After a failure: forgets it.
  void deliver(std::uint32_t slot);
  void forget(std::uint32_t slot);

 private:
  struct Promise {
    std::vector<Record*> totals;  // one for each launch
    std::unique_ptr<Pinned<double>> rows;
    Delivery delivery;
  };
  std::unique_ptr<Pinned<double>> take_rows(std::int64_t count);
  Record* take_total();
  Record* take_records(unsigned blocks, cudaStream_t stream);
  void give_back(Promise& promise);

  // Device memory for the launches since the last call of assign(); the last one has `used_` records in use.
  std::vector<Scratch<Record>> records_;
  unsigned room_ = 0;  // of the last one
  unsigned used_ = 0;
  std::vector<Totals::Part> parts_;

  std::vector<Pinned<Record>> totals_;
  std::vector<Record*> free_totals_;
  std::vector<std::unique_ptr<Pinned<double>>> free_rows_;
  std::vector<Promise> issued_;
  std::vector<std::vector<Promise>> slots_;
};

}  // namespace octavo::cuda
