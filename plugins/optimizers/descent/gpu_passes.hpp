// Passes over whole matrices on an NVIDIA GPU, for which LibTorch needs several. Matrices are row-major and
// contiguous; 16-bit ones are IEEE halves.
#pragma once

#include "gpu_steps.hpp"

namespace octavo::descent::gpu {

// f32, [rows, cols].
struct Matrix {
  const float* values;
  std::int64_t rows, cols;
  void* stream;  // a cudaStream_t
};

// halves = matrix / *divisor.
void divide(const Matrix& matrix, const float* divisor, std::uint16_t* halves);
// The first half of [2 rows, cols] is the matrix rounded to 16 bits, the second what that leaves of it.
void split(const Matrix& matrix, std::uint16_t* halves);
// factor * matrix - shift * identity, twice side by side: [rows, 2 cols].
void shift_twice(const Matrix& matrix, float factor, float shift, std::uint16_t* halves);

// Of each row of (codes - weights) * scales: the sum of its squares, the largest of its magnitudes. Of the
// layer only these and its shape have to be there.
void measure_errors(const Layer& layer, double* squares, double* largest);

}  // namespace octavo::descent::gpu
