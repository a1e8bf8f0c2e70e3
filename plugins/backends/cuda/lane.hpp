// A lane on a GPU: a stream, its memory and its operations.
#pragma once

#include "cells.hpp"
#include "fault.hpp"
#include "launch.hpp"
#include "memory.hpp"
#include "nearest.hpp"
#include "product.hpp"
#include "reports.hpp"
#include "ring.hpp"

#include <octavo/backend.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace octavo::cuda {

// Work is issued and not waited for. Its stream waits for no other, LibTorch's neither.
class CudaLane final : public BackendLane {
 public:
  // The device has a context.
  CudaLane(std::shared_ptr<PinnedRing> ring, std::shared_ptr<Fault> fault, int device);
  ~CudaLane() override;

  octavo_memory memory() const override { return OCTAVO_MEMORY_DEVICE; }
  std::int32_t device() const override { return device_; }
  void* allocate(octavo_memory memory, std::uint64_t bytes) override;
  void release(octavo_memory memory, void* data) override;
  void copy(void* target, octavo_memory target_memory, const void* source, octavo_memory source_memory,
            std::uint64_t bytes) override;
  void record(std::uint32_t slot) override;
  void wait(std::uint32_t slot) override;

  void quantize_nearest(const octavo_tile& tile, octavo_tile_result& result) override;
  void absmax(const octavo_grid* grid, const octavo_tensor& source, std::uint32_t flags,
              octavo_absmax_result& result) override;
  void to_basis(const octavo_grid& grid, const octavo_tensor& source, octavo_tensor& target) override;
  void from_basis(const octavo_grid& grid, const octavo_tensor& source, octavo_tensor& target) override;
  void dequantize(const octavo_tile& tile, bool plain, octavo_tensor& target) override;
  void round_feedback(const octavo_feedback& feedback) override;
  void matmul(const octavo_matmul& matmul) override;
  void matmul_int8(const octavo_matmul_int8& matmul) override;
  void gram(const octavo_tensor& x, octavo_tensor& h, bool accumulate) override;
  void error_sums(const octavo_tensor& a, const octavo_tensor& b, octavo_error_sums& sums) override;
  void cast(const octavo_tensor& source, octavo_tensor& target, std::uint32_t flags,
            octavo_cast_result& result) override;
  void merge_low_rank(const octavo_tensor& source, const octavo_tensor& up, const octavo_tensor& down,
                      float strength, octavo_tensor& target) override;
  void row_metric(const octavo_tensor& x, const octavo_tensor& pivots, octavo_tensor& metric) override;

 private:
  // Begins an operation: makes the lane's device the calling thread's. Whatever issues work calls it first
  // (can_read_early goes by that).
  void enter();
  Launch launch() { return {stream_, residency_, nullptr}; }
  // Runs `issue` with a launch that reports; `deliver` is called in wait().
  void report(std::int64_t row_count, Reports::Delivery deliver,
              const std::function<void(const Launch&, double* rows)>& issue);
  template <typename T>
  Scratch<T> scratch(std::int64_t count, const char* operation) const {
    return Scratch<T>(stream_, count, operation);
  }

  // Ways to quantize a tile: another float dtype; INT8 codes and an F32 scale for each row, 128 x 128 block
  // or tensor; anything else.
  void cast_tile(const octavo_tile& tile, const Launch& launch, double* row_errors);
  void nearest_int8(const octavo_tile& tile, const Launch& launch, double* row_errors);
  void nearest_any(const octavo_tile& tile, const Launch& launch, double* row_errors);
  // Whether the operation before ended with a launch of nearest_rows that does not write `source`.
  bool can_read_early(const View& source) const;
  void change_basis_of(const char* operation, const octavo_grid& grid, const octavo_tensor& source,
                       octavo_tensor& target);

  // Memory for the levels of `job`, and where they are stored in the tile.
  std::vector<Scratch<float>> lay_out_levels(const octavo_tile& tile, CellsJob& job, const char* operation);

  // An operand with elements of the kind's type: the view itself, or a copy in scratch memory.
  struct Operand {
    View view;
    std::optional<Scratch<std::byte>> copy;
  };
  Operand operand(const View& view, ProductKind kind, const char* operation);
  Products& products();
  void gram_in_halves(const View& x, const View& h, bool accumulate);
  // y of some of the tokens.
  void multiply_tokens(const octavo_matmul_int8& matmul, const View& x, const View& weight, const View& y);
  // At most feedback_columns() columns.
  void round_columns(const octavo_feedback& feedback, std::int64_t begin, std::int64_t end);

  std::shared_ptr<PinnedRing> ring_;
  std::shared_ptr<Fault> fault_;
  int device_;
  cudaStream_t stream_ = nullptr;
  Residency residency_;
  Reports reports_;
  std::vector<cudaEvent_t> events_;
  std::unique_ptr<Products> products_;

  std::uint64_t operation_ = 0;  // counts those that have begun
  struct {
    std::uint64_t operation = 0;  // which was it? 0: none
    View codes, scales;
  } last_nearest_;
};

}  // namespace octavo::cuda
