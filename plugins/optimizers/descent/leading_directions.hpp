// The leading right singular directions of a matrix, by products only.
#pragma once

#include "work.hpp"

#include <cstdint>

namespace octavo::descent {

// a b, f32, in panels of its rows; with b in 16 bits where a is.
at::Tensor product(const Work& work, const at::Tensor& a, const at::Tensor& b);

// An orthonormal basis of the span of y's columns (f32 [n, q], q <= n), row-major.
at::Tensor orthonormal(const Work& work, const at::Tensor& y);

// matrix^T matrix, f32 [cols, cols]. On a GPU, of a matrix that is not in 16 bits, from products of two
// halves of its values, good to 2^-20 of the largest.
at::Tensor gram(const Work& work, const at::Tensor& matrix);

// f32 [n, width], orthonormal columns: the span of the `width` leading eigenvectors of the Gram matrix f32
// [n, n], the sharper the higher the degree. The random start depends on seed and the layer's name alone.
at::Tensor leading_directions(const Work& work, const at::Tensor& gram, std::int64_t width,
                              std::int64_t degree, std::uint64_t seed);

}  // namespace octavo::descent
