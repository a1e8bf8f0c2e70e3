// A tensor as a kernel sees it.
#pragma once

#include <octavo/abi/tensor.h>
#include <octavo/tensor.hpp>

#include <cstdint>

namespace octavo::cuda {

struct View {
  void* data;
  std::uint32_t dtype;
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t stride;  // elements from a row to the next
};

// Rank 2; rank 1 counts as one column and rank 0 as one element.
inline View view_of(const octavo_tensor& tensor) {
  const std::int64_t rows = tensor.rank > 0 ? tensor.shape[0] : 1;
  const std::int64_t cols = tensor.rank > 1 ? tensor.shape[1] : 1;
  return {tensor.data, tensor.dtype, rows, cols, tensor.rank > 0 ? tensor.row_stride : 1};
}

// Whether every row begins at a multiple of `bytes`.
inline bool has_aligned_rows(const View& view, std::int64_t bytes) {
  return reinterpret_cast<std::uintptr_t>(view.data) % static_cast<std::uintptr_t>(bytes) == 0 &&
         view.stride * static_cast<std::int64_t>(bytes_of(view.dtype)) % bytes == 0;
}

// Whether the two share bytes, gaps between rows counted in.
inline bool overlap(const View& a, const View& b) {
  const auto begin = [](const View& view) { return reinterpret_cast<std::uintptr_t>(view.data); };
  const auto end = [&](const View& view) {
    if (view.rows == 0 || view.cols == 0) return begin(view);
    const auto elements = static_cast<std::uint64_t>((view.rows - 1) * view.stride + view.cols);
    return begin(view) + elements * bytes_of(view.dtype);
  };
  return begin(a) < end(b) && begin(b) < end(a);
}

// Without gaps between rows it may be seen as one long row.
inline bool is_packed(const View& view) { return view.rows <= 1 || view.stride == view.cols; }
inline View flattened(const View& view) {
  return {view.data, view.dtype, 1, view.rows * view.cols, view.rows * view.cols};
}

}  // namespace octavo::cuda
