// Products, sums and feedback: the operations that optimizers and reports are made of.
//
// merge_low_rank is class A: f32, each element's products added in the order of the rank. The sums and
// products here accumulate in f64 and are what backends come close to; round_feedback adds in f32 in the
// order in which the columns are rounded (from the last to the first).
#pragma once

#include <octavo/abi/backend.h>

#include <cstdint>

namespace octavo::reference {

octavo_status round_feedback(octavo_lane*, const octavo_feedback* feedback, octavo_error* error);
octavo_status matmul(octavo_lane*, const octavo_matmul* matmul, octavo_error* error);
octavo_status matmul_int8(octavo_lane*, const octavo_matmul_int8* matmul, octavo_error* error);
octavo_status gram(octavo_lane*, const octavo_tensor* x, octavo_tensor* h, std::uint32_t accumulate,
                   octavo_error* error);
octavo_status error_sums(octavo_lane*, const octavo_tensor* a, const octavo_tensor* b,
                         octavo_error_sums* sums, octavo_error* error);
octavo_status merge_low_rank(octavo_lane*, const octavo_tensor* source, const octavo_tensor* up,
                             const octavo_tensor* down, float strength, octavo_tensor* target,
                             octavo_error* error);
octavo_status row_metric(octavo_lane*, const octavo_tensor* x, const octavo_tensor* pivots,
                         octavo_tensor* metric, octavo_error* error);

}  // namespace octavo::reference
