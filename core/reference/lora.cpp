// Merging a low-rank update: class A, so the order of the sum is fixed and nothing is contracted.
#include "reference/algebra.hpp"
#include "reference/convert.hpp"
#include "reference/view.hpp"

#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <vector>

namespace octavo::reference {

octavo_status merge_low_rank(octavo_lane*, const octavo_tensor* source, const octavo_tensor* up,
                             const octavo_tensor* down, float strength, octavo_tensor* target,
                             octavo_error* error) {
  return detail::guard(error, [&] {
    constexpr const char* kOperation = "merge_low_rank";
    const Extent size = extent(*source, kOperation, "source");
    expect_float(*source, kOperation, "source");
    const std::int64_t rank = extent(*up, kOperation, "up").cols;
    expect(*up, OCTAVO_F32, {size.rows, rank}, kOperation, "up");
    expect(*down, OCTAVO_F32, {rank, size.cols}, kOperation, "down");
    expect(*target, OCTAVO_F32, size, kOperation, "target");
    std::vector<float> weight(static_cast<std::size_t>(size.cols)), update(weight.size());
    for (std::int64_t r = 0; r < size.rows; ++r) {
      load_row(*source, r, weight);
      update.assign(update.size(), 0.0f);
      for (std::int64_t i = 0; i < rank; ++i) {
        const float factor = row_of<float>(*up, r)[i];
        const float* row = row_of<float>(*down, i);
        for (std::size_t c = 0; c < update.size(); ++c) update[c] += factor * row[c];
      }
      for (std::size_t c = 0; c < update.size(); ++c)
        row_of<float>(*target, r)[c] = weight[c] + strength * update[c];
    }
  });
}

}  // namespace octavo::reference
