#include "reference/view.hpp"

#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>

namespace octavo::reference {

void bad_argument(const char* operation, const std::string& what) {
  throw PluginError(OCTAVO_BAD_ARGUMENT, fmt::format("[{}] {}", operation, what));
}

void unsupported(const char* operation, const std::string& what) {
  throw PluginError(OCTAVO_UNSUPPORTED, fmt::format("[{}] {}", operation, what));
}

Extent extent(const octavo_tensor& view, const char* operation, const char* name) {
  if (view.memory == OCTAVO_MEMORY_DEVICE)
    bad_argument(operation, fmt::format("{} is in device memory; the reference works on host memory", name));
  if (view.rank > 2)
    bad_argument(operation, fmt::format("{} has rank {}; at most 2 is expected", name, view.rank));
  const Extent found{view.rank > 0 ? view.shape[0] : 1, view.rank > 1 ? view.shape[1] : 1};
  if (found.rows < 0 || found.cols < 0)
    bad_argument(operation, fmt::format("{} has the shape [{}, {}]", name, found.rows, found.cols));
  if (view.data == nullptr && found.rows * found.cols > 0)
    bad_argument(operation, fmt::format("{} has no data", name));
  return found;
}

void expect(const octavo_tensor& view, std::uint32_t dtype, Extent expected, const char* operation,
            const char* name) {
  const Extent found = extent(view, operation, name);
  if (found != expected) {
    bad_argument(operation, fmt::format("{} has the shape [{}, {}]; [{}, {}] is expected", name, found.rows,
                                        found.cols, expected.rows, expected.cols));
  }
  if (view.dtype != dtype)
    bad_argument(operation, fmt::format("{} has dtype {}; {} is expected", name, view.dtype, dtype));
}

void expect_float(const octavo_tensor& view, const char* operation, const char* name) {
  if (!is_weight_dtype(view.dtype)) {
    unsupported(operation,
                fmt::format("{} has dtype {}; F64, F32, BF16, F16 and the 8-bit floats are supported", name,
                            view.dtype));
  }
}

}  // namespace octavo::reference
