// The boundary to octavo_cpu_products.so, which holds everything that needs oneDNN.
//
// It is a library of its own, opened when the first product is asked for: mapping oneDNN costs up to 15 ms
// and 14 MB, which a conversion without products should not pay. No exception crosses.
#pragma once

#include <cstdint>

namespace octavo::cpu {

// c [m, n] = a [m, k] b [k, n], or c + a b. F32 and BF16 give f32 (accumulated in f32), I8 gives exact i32.
// Strides are in elements, from one row, or column, to the next; rows of c are contiguous.
struct Product {
  std::int64_t m, n, k;
  const void* a;
  std::int64_t a_row, a_col;
  const void* b;
  std::int64_t b_row, b_col;
  void* c;
  std::int64_t c_row;
  std::uint32_t dtype;  // of a and b: OCTAVO_F32, OCTAVO_BF16 or OCTAVO_I8
  bool accumulate;
};

struct ProductLibrary {
  // Products of BF16 are faster than those of the same values in F32 (the results are as good: bf16 products
  // are exact in f32).
  bool prefers_bf16;
  // I8 products do not saturate in between; else they are to be made of F32 ones.
  bool has_exact_int8;
  // Runs in the calling thread alone. false: `message` says why.
  bool (*multiply)(const Product& product, char* message, std::uint64_t size);
};

using ProductLibraryFunction = const ProductLibrary* (*)();

// Opens the library the first time. Throws PluginError where it cannot be opened.
const ProductLibrary& product_library();

}  // namespace octavo::cpu

#define OCTAVO_CPU_PRODUCTS_SYMBOL "octavo_cpu_products_v1"
