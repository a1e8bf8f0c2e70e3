// Matrix products through cuBLASLt.
#pragma once

#include "cublaslt.hpp"

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <tuple>

namespace octavo::cuda {

enum class ProductKind : std::uint32_t { f32, tf32, bf16, f16, int8 };

// c [rows, cols] = op(a) op(b), plus c if `accumulate`. Row major; strides in elements. Element types by the
// kind: f32 and tf32 take f32 operands, bf16, f16 and int8 their own; c is f32, of int8 i32.
struct Product {
  ProductKind kind;
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t depth;
  const void* a;
  std::int64_t a_stride;
  bool transpose_a;
  const void* b;
  std::int64_t b_stride;
  bool transpose_b;
  void* c;
  std::int64_t c_stride;
  bool accumulate;
};

// One lane's handle, its workspace and the algorithms it has settled on. The same product always takes the
// same algorithm, so its bits depend on the device and the library alone.
class Products {
 public:
  explicit Products(cudaStream_t stream);
  ~Products();
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;

  // In the lane's order. rows, cols and depth > 0.
  void multiply(const Product& product, const char* operation);

 private:
  using Key = std::tuple<ProductKind, std::int64_t, std::int64_t, std::int64_t, std::int64_t, bool,
                         std::int64_t, bool, std::int64_t, bool, unsigned>;

  const CublasLt& library_;
  cudaStream_t stream_;
  cublasLtHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
  std::map<Key, cublasLtMatmulAlgo_t> settled_;
};

}  // namespace octavo::cuda
