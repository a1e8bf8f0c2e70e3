// cuBLASLt thinks in columns: a row-major matrix is the transpose of a column-major one, so c = a b is handed
// over as c^T = b^T a^T, with b as the first operand.
#include "product.hpp"

#include "status.hpp"

#include <octavo/plugin.hpp>

#include <fmt/format.h>

#include <bit>

namespace octavo::cuda {
namespace {

constexpr std::size_t kWorkspace = std::size_t{4} << 20;  // of each lane; 32 MiB were no faster

struct Types {
  cudaDataType_t operand;
  cudaDataType_t result;
  cudaDataType_t scale;
  cublasComputeType_t compute;
};

Types types_of(ProductKind kind) {
  switch (kind) {
    case ProductKind::tf32:
      return {CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32};
    case ProductKind::bf16:
      return {CUDA_R_16BF, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F};
    case ProductKind::f16:
      return {CUDA_R_16F, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F};
    case ProductKind::int8:
      return {CUDA_R_8I, CUDA_R_32I, CUDA_R_32I, CUBLAS_COMPUTE_32I};
    default:
      return {CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F};
  }
}

template <typename Handle>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, cublasStatus_t (*)(Handle)>;

Owned<cublasLtMatrixLayout_t> layout(const CublasLt& library, cudaDataType_t type, std::int64_t rows,
                                     std::int64_t cols, std::int64_t stride) {
  cublasLtMatrixLayout_t made = nullptr;
  check(library.layout_create(&made, type, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(cols),
                              stride),
        "matmul", "layout");
  return {made, library.layout_destroy};
}

// Column-major view of a row-major operand: [stored columns, stored rows].
Owned<cublasLtMatrixLayout_t> operand_layout(const CublasLt& library, cudaDataType_t type, std::int64_t rows,
                                             std::int64_t cols, bool transposed, std::int64_t stride) {
  return transposed ? layout(library, type, rows, cols, stride) : layout(library, type, cols, rows, stride);
}

Owned<cublasLtMatmulDesc_t> description(const CublasLt& library, const Types& types, bool transpose_first,
                                        bool transpose_second) {
  cublasLtMatmulDesc_t made = nullptr;
  check(library.desc_create(&made, types.compute, types.scale), "matmul", "description");
  Owned<cublasLtMatmulDesc_t> owned(made, library.desc_destroy);
  const cublasOperation_t first = transpose_first ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t second = transpose_second ? CUBLAS_OP_T : CUBLAS_OP_N;
  check(library.desc_set(made, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first), "matmul", "description");
  check(library.desc_set(made, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second), "matmul", "description");
  return owned;
}

unsigned alignment_of(const void* data) {
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  return address == 0 ? 256u : 1u << std::min(8, std::countr_zero(address));
}

Owned<cublasLtMatmulPreference_t> preference(const CublasLt& library, const Product& product) {
  cublasLtMatmulPreference_t made = nullptr;
  check(library.preference_create(&made), "matmul", "preference");
  Owned<cublasLtMatmulPreference_t> owned(made, library.preference_destroy);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    check(library.preference_set(made, attribute, &value, sizeof value), "matmul", "preference");
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kWorkspace});
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, std::uint32_t{alignment_of(product.b)});
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, std::uint32_t{alignment_of(product.a)});
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, std::uint32_t{alignment_of(product.c)});
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, std::uint32_t{alignment_of(product.c)});
  return owned;
}

}  // namespace

Products::Products(cudaStream_t stream) : library_(cublaslt()), stream_(stream) {
  check(library_.create(&handle_), "matmul", "start");
  const cudaError_t code = cudaMalloc(&workspace_, kWorkspace);
  if (code != cudaSuccess) library_.destroy(handle_);
  check(code, "matmul", "workspace");
}

Products::~Products() {
  library_.destroy(handle_);
  cudaFree(workspace_);
}

void Products::multiply(const Product& product, const char* operation) {
  const Types types = types_of(product.kind);
  const auto desc = description(library_, types, product.transpose_b, product.transpose_a);
  const auto first = operand_layout(library_, types.operand, product.depth, product.cols, product.transpose_b,
                                    product.b_stride);
  const auto second = operand_layout(library_, types.operand, product.rows, product.depth,
                                     product.transpose_a, product.a_stride);
  const auto result = layout(library_, types.result, product.cols, product.rows, product.c_stride);
  const unsigned alignment =
      alignment_of(product.a) | alignment_of(product.b) << 10 | alignment_of(product.c) << 20;
  const Key key{product.kind,     product.rows,        product.cols,     product.depth,
                product.a_stride, product.transpose_a, product.b_stride, product.transpose_b,
                product.c_stride, product.accumulate,  alignment};
  auto settled = settled_.find(key);
  if (settled == settled_.end()) {
    const auto wanted = preference(library_, product);
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    check(library_.heuristic(handle_, desc.get(), first.get(), second.get(), result.get(), result.get(),
                             wanted.get(), 1, &found, &count),
          operation, "choice of an algorithm");
    if (count == 0) {
      throw PluginError(OCTAVO_UNSUPPORTED,
                        fmt::format("[{}] cuBLASLt has no algorithm for [{}, {}] x [{}, {}]", operation,
                                    product.rows, product.depth, product.depth, product.cols));
    }
    settled = settled_.emplace(key, found.algo).first;
  }
  const float one = 1.0f, zero = 0.0f;
  const std::int32_t whole_one = 1, whole_zero = 0;
  const bool whole = product.kind == ProductKind::int8;
  const void* alpha = whole ? static_cast<const void*>(&whole_one) : &one;
  const void* keep = whole ? static_cast<const void*>(product.accumulate ? &whole_one : &whole_zero)
                           : (product.accumulate ? &one : &zero);
  check(library_.matmul(handle_, desc.get(), alpha, product.b, first.get(), product.a, second.get(), keep,
                        product.c, result.get(), product.c, result.get(), &settled->second, workspace_,
                        kWorkspace, stream_),
        operation, "product");
}

}  // namespace octavo::cuda
