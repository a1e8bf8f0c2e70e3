// A backend plugin's lane for benchmarks, without the host library around it.
#pragma once

#include "reference/convert.hpp"
#include "reference/operations.hpp"

#include <octavo/abi/backend.h>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <stdexcept>
#include <vector>

namespace octavo::bench {

// What a backend asks of a host while it is measured: the reference, and nothing else.
inline const octavo_host& host() {
  static const octavo_host made = [] {
    octavo_host h{};
    h.struct_size = sizeof h;
    h.abi_major = OCTAVO_ABI_MAJOR;
    h.reference = &reference::operations();
    return h;
  }();
  return made;
}

inline const octavo_plugin& open_plugin(const char* path) {
  void* const library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(dlerror());
  return *reinterpret_cast<octavo_plugin_function>(dlsym(library, OCTAVO_PLUGIN_SYMBOL))();
}

// Gaussian rows in host memory, the first 16 repeated: cheap to make and as hard to round as others.
inline std::vector<std::byte> gaussian_rows(std::uint32_t dtype, std::int64_t rows, std::int64_t cols) {
  constexpr std::int64_t kDistinct = 16;
  const std::size_t row_bytes = static_cast<std::size_t>(cols) * bytes_of(dtype);
  std::vector<std::byte> made(row_bytes * static_cast<std::size_t>(rows));
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  for (std::int64_t i = 0; i < std::min(rows, kDistinct) * cols; ++i)
    reference::store(normal(random), dtype, made.data(), i);
  for (std::int64_t r = kDistinct; r < rows; ++r)
    std::memcpy(made.data() + static_cast<std::size_t>(r) * row_bytes,
                made.data() + static_cast<std::size_t>(r % kDistinct) * row_bytes, row_bytes);
  return made;
}

}  // namespace octavo::bench
