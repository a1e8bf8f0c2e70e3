// The list is known to the CUDA compiler alone.
#include "architectures.hpp"

#include <cstddef>

namespace octavo::cuda {

std::span<const int> compiled_architectures() {
  static constexpr int list[] = {__CUDA_ARCH_LIST__};  // 900: 9.0
  static constexpr auto shortened = [] {
    struct {
      int values[sizeof list / sizeof list[0]];
    } made{};
    for (std::size_t i = 0; i < sizeof list / sizeof list[0]; ++i) made.values[i] = list[i] / 10;
    return made;
  }();
  return shortened.values;
}

}  // namespace octavo::cuda
