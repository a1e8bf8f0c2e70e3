// Kernels over a rectangle of values (a row, or one block of a block grid). Compiled once per instruction
// set.
#pragma once

#include "targets.hpp"

#include <cstddef>
#include <cstdint>

namespace octavo::cpu {

// `rows` runs of `cols` values, `stride` elements from the start of one to that of the next. No size need be
// a multiple of anything.
struct Values {
  const void* data;
  std::uint32_t dtype;  // F32, BF16 or F16
  std::size_t rows;
  std::size_t cols;
  std::ptrdiff_t stride;
};

// Memory that will be read after this, so that it comes while the kernel computes: for each value that the
// kernel rounds `element` bytes of it, with the strides of the values.
struct Ahead {
  const char* from = nullptr;  // nullptr: nothing
  std::size_t element = 0;

  Ahead at(std::ptrdiff_t elements) const {
    return from == nullptr ? Ahead{} : Ahead{from + elements * static_cast<std::ptrdiff_t>(element), element};
  }
};

// What rounding cost, in units of the scale, where nothing can overflow.
struct RoundingSums {
  float error;    // sum of (code - t)^2, t = value / scale
  float signal;   // sum of t^2
  float largest;  // of |code - t|
};

struct RowKernels {
  // Largest magnitude as the bits of an f32: >= 0x7f800000 when an infinity or NaN is among the values.
  std::uint32_t (*absmax)(const Values& values);
  // codes = rint(values / scale), half to even, with the bits of a true division. The caller makes sure that
  // no |value / scale| is beyond 127.
  RoundingSums (*quantize)(const Values& values, float scale, std::int8_t* codes, std::ptrdiff_t codes_stride,
                           Ahead ahead);
  // One row times the regular Hadamard matrix of groups of 16, 64 or 256, which divides `count`; their sums
  // must not overflow. Not `scaled`: times sqrt(group) as well, which spares the last, exact multiplication.
  // target may be `values` if they are F32. Returns the largest magnitude written.
  float (*rotate)(const void* values, std::uint32_t dtype, std::size_t count, std::size_t group, bool scaled,
                  float* target);
};

// nullptr for Simd::scalar.
const RowKernels* row_kernels(Simd simd);

}  // namespace octavo::cpu
