// octavo_cpu_products.so: matrix products by oneDNN, in the calling thread alone.
//
// oneDNN is built with GNU OpenMP and takes the number of threads from the calling thread's setting, which is
// 1 for the length of a call and then what it was: LibTorch, in the same thread, uses the same OpenMP.
#include "product_library.hpp"

#include <octavo/abi/plugin.h>
#include <octavo/abi/tensor.h>

#include <oneapi/dnnl/dnnl.hpp>

#include <omp.h>

#include <cstdio>
#include <exception>

namespace octavo::cpu {
namespace {

class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

dnnl::memory::data_type operand_type(std::uint32_t dtype) {
  switch (dtype) {
    case OCTAVO_BF16:
      return dnnl::memory::data_type::bf16;
    case OCTAVO_I8:
      return dnnl::memory::data_type::s8;
    default:
      return dnnl::memory::data_type::f32;
  }
}

void run(const Product& product) {
  using dnnl::memory;
  const auto type = operand_type(product.dtype);
  const auto sum_type = product.dtype == OCTAVO_I8 ? memory::data_type::s32 : memory::data_type::f32;
  const memory::desc a({product.m, product.k}, type, {product.a_row, product.a_col});
  const memory::desc b({product.k, product.n}, type, {product.b_row, product.b_col});
  const memory::desc c({product.m, product.n}, sum_type, {product.c_row, 1});
  dnnl::primitive_attr attributes;
  if (product.accumulate) {
    dnnl::post_ops after;
    after.append_sum(1.0f);
    attributes.set_post_ops(after);
  }
  const dnnl::matmul::primitive_desc description(engine(), a, b, c, attributes);
  dnnl::stream stream(engine());
  dnnl::matmul(description)
      .execute(stream, {{DNNL_ARG_SRC, memory(a, engine(), const_cast<void*>(product.a))},
                        {DNNL_ARG_WEIGHTS, memory(b, engine(), const_cast<void*>(product.b))},
                        {DNNL_ARG_DST, memory(c, engine(), product.c)}});
  stream.wait();
}

bool multiply(const Product& product, char* message, std::uint64_t size) noexcept {
  try {
    const OneThread one;
    run(product);
    return true;
  } catch (const dnnl::error& e) {
    std::snprintf(message, size, "oneDNN: %s (status %d)", e.what(), static_cast<int>(e.status));
  } catch (const std::exception& e) {
    std::snprintf(message, size, "oneDNN: %s", e.what());
  }
  return false;
}

// Before VNNI, oneDNN adds pairs of 8-bit products in 16 bits, which saturate.
bool has_exact_int8() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::isa_default:
    case dnnl::cpu_isa::sse41:
    case dnnl::cpu_isa::avx:
    case dnnl::cpu_isa::avx2:
    case dnnl::cpu_isa::avx512_core:
      return false;
    default:
      return true;
  }
}

// Without AMX, Intel's bf16 dot products run at half the speed of f32 (41 against 76 billion multiply-adds a
// second and core on a Xeon with avx512_bf16); AMD's are the faster ones.
bool prefers_bf16() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::avx512_core_amx:
    case dnnl::cpu_isa::avx512_core_amx_fp16:
      return true;
#if defined(__x86_64__)
    case dnnl::cpu_isa::avx512_core_bf16:
      return __builtin_cpu_is("amd");
#endif
    default:
      return false;
  }
}

}  // namespace
}  // namespace octavo::cpu

extern "C" OCTAVO_EXPORT const octavo::cpu::ProductLibrary* octavo_cpu_products_v1() {
  static const octavo::cpu::ProductLibrary library{octavo::cpu::prefers_bf16(), octavo::cpu::has_exact_int8(),
                                                   octavo::cpu::multiply};
  return &library;
}
