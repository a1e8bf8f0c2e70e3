#include "reduce.cuh"
#include "status.hpp"
#include "totals.hpp"

namespace octavo::cuda {
namespace {

constexpr unsigned kThreads = 256;

__device__ inline void take_record(const Record& record, Tally& tally, Gathered& gathered) {
  gathered.error += record.error_sum;
  gathered.signal += record.signal_sum;
  gathered.max_error = fmaxf(gathered.max_error, record.max_error);
  if (record.absmax > 0.0f) atomicMax(&tally.absmax, __float_as_uint(record.absmax));
  if (record.first >= 0) atomicMin(&tally.first, static_cast<unsigned long long>(record.first));
  note_count(tally.nonfinite, record.nonfinite);
  note_count(tally.overflow, record.overflow);
  note_count(tally.underflow, record.underflow);
  note_count(tally.floored, record.floored);
}

__global__ void __launch_bounds__(kThreads) add_up_kernel(const __grid_constant__ Totals totals) {
  __shared__ Tally tally;
  open_tally(tally);
  const Totals::Part& part = totals.parts[blockIdx.x];
  Gathered gathered;
  for (unsigned i = threadIdx.x; i < part.blocks; i += kThreads)
    take_record(part.records[i], tally, gathered);
  write_record(tally, gathered, *part.total);
}

}  // namespace

void add_up(const Totals& totals, unsigned count, cudaStream_t stream) {
  add_up_kernel<<<count, kThreads, 0, stream>>>(totals);
  check_launch("record");
}

}  // namespace octavo::cuda
