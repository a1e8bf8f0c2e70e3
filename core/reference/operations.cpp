#include "reference/operations.hpp"

#include "reference/algebra.hpp"
#include "reference/basis.hpp"
#include "reference/cast.hpp"
#include "reference/nearest.hpp"

namespace octavo::reference {

const octavo_operations& operations() {
  static constexpr octavo_operations table = {sizeof(octavo_operations),
                                              0,
                                              quantize_nearest,
                                              absmax,
                                              to_basis,
                                              from_basis,
                                              dequantize,
                                              round_feedback,
                                              matmul,
                                              matmul_int8,
                                              gram,
                                              error_sums,
                                              cast,
                                              merge_low_rank,
                                              row_metric};
  return table;
}

}  // namespace octavo::reference
