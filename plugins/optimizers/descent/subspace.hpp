// The leading singular subspaces of a layer.
//
// Small layers get them exactly, from the eigenvectors of the smaller Gram matrix. Larger ones get them from
// a filtered subspace iteration with that matrix (leading_directions.hpp), which is all products and finds
// the leading directions of a flat spectrum, too. Only the spans matter: the norm of U^T E V is the same for
// every orthonormal basis of them. So there is no small SVD, and the vectors of oversampling stay in.
#pragma once

#include "work.hpp"

#include <cstdint>

namespace octavo::descent {

// Widths in which a GPU's products of 16-bit matrices are fast.
inline constexpr std::int64_t kWidthMultiple = 64;

inline std::int64_t rounded_width(std::int64_t width) {
  return (width + kWidthMultiple - 1) / kWidthMultiple * kWidthMultiple;
}

struct SubspaceSettings {
  double top_p = 0.2;  // share of min(rows, cols)
  std::int64_t min_k = 64;
  std::int64_t max_k = 1024;
  bool full_matrix = false;         // an exact SVD, whatever the size
  std::int64_t exact_up_to = 512;   // min(rows, cols) up to which the subspaces are exact
  std::int64_t filter_degree = 16;  // of the polynomial that sharpens others
};

// All f32, row-major.
struct Subspace {
  at::Tensor left;   // [rows, q]: orthonormal columns
  at::Tensor right;  // [cols, q]: orthonormal columns; with inputs weighted by how large they are along each
};

// k = min(r, max_k, max(min_k, floor(top_p r))), r = min(rows, cols).
std::int64_t subspace_rank(const SubspaceSettings& settings, std::int64_t rows, std::int64_t cols);

// matrix: f32 [rows, cols]. The random start depends on seed and the layer's name alone.
Subspace leading_subspace(const Work& work, const at::Tensor& matrix, const SubspaceSettings& settings,
                          std::uint64_t seed);

// The right side spans the leading directions of the inputs (f32 [samples, cols], in the matrix's basis) and
// is weighted with their second moment, 1 in the mean; the left side is where the matrix takes them.
Subspace subspace_of_inputs(const Work& work, const at::Tensor& matrix, const at::Tensor& inputs,
                            const SubspaceSettings& settings, std::uint64_t seed);

}  // namespace octavo::descent
