// Rows cut into chunks of columns, which blocks take in turn: how every elementwise kernel walks a tensor.
#pragma once

#include <cstdint>

namespace octavo::cuda {

constexpr int kChunkThreads = 256;
constexpr int kChunkColumns = 1024;

struct Chunks {
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t width;  // columns of a chunk; the last one of a row may have fewer

  __host__ __device__ std::int64_t per_row() const { return (cols + width - 1) / width; }
  __host__ __device__ std::int64_t count() const { return cols == 0 ? 0 : rows * per_row(); }
};

struct ChunkPlace {
  std::int64_t row;
  std::int64_t begin;  // columns
  std::int64_t end;
};

__device__ inline ChunkPlace place_of(const Chunks& chunks, std::int64_t index) {
  const std::int64_t row = index / chunks.per_row();
  const std::int64_t begin = (index - row * chunks.per_row()) * chunks.width;
  const std::int64_t end = begin + chunks.width;
  return {row, begin, end < chunks.cols ? end : chunks.cols};
}

}  // namespace octavo::cuda
