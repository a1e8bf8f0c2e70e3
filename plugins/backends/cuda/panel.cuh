// A warp's panel of a row, 32 values a thread: who holds which columns, and what goes through shared memory.
//
// Plain: thread l holds columns 8l..8l+7 of each 256. ConvRot: thread l holds two runs of 16 consecutive
// columns, so strides 1 and 4 stay within a thread; one exchange through shared memory gives it two columns
// of all 16 runs of a group, for strides 16 and 64. The codes go back through shared memory so that a thread
// stores 16 consecutive ones.
//
// Rotating is as much work for a multiprocessor as for the memory: what looks roundabout below saves
// instructions that each thread would repeat in each row.
#pragma once

#include "nearest.cuh"
#include "reduce.cuh"
#include "rotate.cuh"

#include <cstddef>
#include <cstdint>

namespace octavo::cuda {

constexpr int kPanel = 1024;
constexpr int kMostWarps = 32;  // of a block, one for each panel of a row

// Shared memory for the exchange of a panel, in floats: 4 groups of 16 runs; the padding keeps 16-byte writes
// of runs and 8-byte reads across runs free of bank conflicts.
constexpr int kRunStride = 20;
constexpr int kGroupStride = 16 * kRunStride + 8;
constexpr int kExchange = 4 * kGroupStride;
constexpr int kExchangeBytes = kExchange * static_cast<int>(sizeof(float));
// And for its codes, in bytes: they are written and read without conflicts.
constexpr int kCodesStride = 256 + 32;

// What a kernel is made for: with `groups_of_256` the stages are not asked for at run time.
enum class Form { plain, rotated, groups_of_256 };

template <Form kForm>
constexpr bool kIsRotated = kForm != Form::plain;

// Keeps `value` in a register: the compiler would rather make it anew for each row.
__device__ inline int kept(int value) {
  asm volatile("" : "+r"(value));
  return value;
}

// First column of the 8 that thread `lane` holds as chunk `chunk` of a panel.
template <bool kRotated>
__device__ constexpr int chunk_column(int chunk, int lane) {
  return kRotated ? ((chunk / 2) * 32 + lane) * 16 + (chunk % 2) * 8 : (chunk * 32 + lane) * 8;
}

// A thread's part of a warp's panel: what stays the same from row to row.
struct Part {
  int first;       // column that the thread reads
  int first_code;  // column whose code it stores
  int reads;       // bit c: chunk c is there
  int stores;      // bit i: the i-th piece of codes is
};

template <bool kRotated>
__device__ inline Part part_of_panel(int column, int cols) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int first = column + chunk_column<kRotated>(0, lane);
  const int first_code = kRotated ? column + 16 * lane : first;
  constexpr int kApart = kRotated ? 512 : 256;
  int reads = 0, stores = 0;
  for (int c = 0; c < 4; ++c) reads |= (first + chunk_column<kRotated>(c, 0) < cols ? 1 : 0) << c;
  for (int i = 0; i < 4; ++i) stores |= (first_code + i * kApart < cols ? 1 : 0) << i;
  return {first, first_code, kept(reads), kept(stores)};
}

extern __shared__ float4 exchange_memory[];

// What each warp has found, for two rows in turn, so that a warp that is ahead does not write where another
// one still reads. By its alignment the addresses of the two differ in one bit.
struct alignas(2 * kMostWarps * sizeof(unsigned)) Maxima {
  static constexpr unsigned kOther = kMostWarps * sizeof(unsigned);
  unsigned warps[2][kMostWarps];
};

__device__ inline unsigned shared_address(const void* at) {
  return static_cast<unsigned>(__cvta_generic_to_shared(at));
}

__device__ inline std::byte* exchanged_bytes(int offset) {
  return reinterpret_cast<std::byte*>(exchange_memory) + offset;
}

// A thread's places in shared memory.
struct Places {
  int runs;              // where in the exchange memory it writes its two runs, in floats
  int columns;           // and reads its two columns of 16 runs
  int pairs;             // where it has their codes, in bytes
  int codes;             // and reads 16 consecutive ones
  unsigned matrices;     // address for its part of writing the warp's codes
  unsigned own_maximum;  // addresses of what its warp has found
  unsigned maximum;      // and of what some warp has
};

__device__ inline Places places_of_thread(const Maxima& maxima) {
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int panel = warp * kExchange;
  const int matrices = 4 * panel + lane % 8 / 2 * kCodesStride + (lane / 8 * 2 + lane % 2) * 16;
  const auto kept_address = [](const void* at) { return static_cast<unsigned>(kept(shared_address(at))); };
  return {kept(panel + lane / 16 * kGroupStride + lane % 16 * kRunStride),
          kept(panel + lane % 4 * kGroupStride + lane / 4 * 2),
          kept(4 * panel + lane % 4 * kCodesStride + lane / 4 * 2),
          kept(4 * panel + lane / 16 * kCodesStride + lane % 16 * 16),
          kept_address(exchanged_bytes(matrices)),
          kept_address(&maxima.warps[0][warp]),
          kept_address(&maxima.warps[0][lane % static_cast<int>(blockDim.x / 32)])};
}

__device__ inline void exchange(float (&x)[32], const Places& at) {
  float* const memory = reinterpret_cast<float*>(exchange_memory);
  __syncwarp();
#pragma unroll
  for (int i = 0; i < 32; i += 4) {
    *reinterpret_cast<float4*>(memory + at.runs + i / 16 * 2 * kGroupStride + i % 16) =
        make_float4(x[i], x[i + 1], x[i + 2], x[i + 3]);
  }
  __syncwarp();
#pragma unroll
  for (int j = 0; j < 16; ++j) {
    const float2 pair = *reinterpret_cast<const float2*>(memory + at.columns + j * kRunStride);
    x[2 * j] = pair.x;
    x[2 * j + 1] = pair.y;
  }
}

// Afterwards x[2 j + p] is column 256 (lane % 4) + 16 j + 2 (lane / 4) + p of the panel, not yet multiplied
// with the factor.
template <Form kForm>
__device__ inline void rotate_panel(float (&x)[32], int group, const Places& at) {
#pragma unroll
  for (int i = 0; i < 32; i += 4) butterfly(x[i], x[i + 1], x[i + 2], x[i + 3]);
#pragma unroll
  for (int h = 0; h < 2; ++h) {
#pragma unroll
    for (int i = 16 * h; i < 16 * h + 4; ++i) butterfly(x[i], x[i + 4], x[i + 8], x[i + 12]);
  }
  exchange(x, at);
  if (kForm == Form::groups_of_256 || group >= 64) {
#pragma unroll
    for (int i = 0; i < 32; i += 8) {
      butterfly(x[i], x[i + 2], x[i + 4], x[i + 6]);
      butterfly(x[i + 1], x[i + 3], x[i + 5], x[i + 7]);
    }
  }
  if (kForm == Form::groups_of_256 || group >= 256) {
#pragma unroll
    for (int i = 0; i < 8; ++i) butterfly(x[i], x[i + 8], x[i + 16], x[i + 24]);
  }
}

// Bits of the row's largest magnitude, in every thread.
__device__ inline unsigned row_max(unsigned bits, Places& at) {
  bits = warp_max(bits);
  // All lanes the same.
  asm volatile("st.shared.u32 [%0], %1;" ::"r"(at.own_maximum), "r"(bits) : "memory");
  __syncthreads();
  asm volatile("ld.shared.u32 %0, [%1];" : "=r"(bits) : "r"(at.maximum) : "memory");
  at.own_maximum ^= Maxima::kOther;
  at.maximum ^= Maxima::kOther;
  return warp_max(bits);
}

// `at` points at the thread's first code, here and below.
__device__ inline void store_plain(std::int8_t* at, const Part& part, const CodeWords& codes) {
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    if ((part.stores >> c & 1) != 0)
      __stcs(reinterpret_cast<uint2*>(at + 256 * c), make_uint2(codes.words[2 * c], codes.words[2 * c + 1]));
  }
}

// A thread's codes of two columns of 16 runs, in shared memory (where a warp's are in order).
class CodePairs {
 public:
  __device__ explicit CodePairs(const Places& at)
      : pairs_(exchanged_bytes(at.pairs)), matrices_(at.matrices) {}

  // The pairs of runs 2 w and 2 w + 1.
  __device__ void put(int w, unsigned low, unsigned high) {
#if __CUDA_ARCH__ >= 900
    words_[w % 4] = __byte_perm(low, high, 0x5410);
    if (w % 4 == 3) put_matrices(matrices_ + w / 4 * 128);
#else
    *reinterpret_cast<unsigned short*>(pairs_ + 32 * w) = static_cast<unsigned short>(low);
    *reinterpret_cast<unsigned short*>(pairs_ + 32 * w + 16) = static_cast<unsigned short>(high);
#endif
  }
  __device__ void replace(int i, unsigned code) {
    pairs_[i / 2 * 16 + i % 2] = static_cast<std::byte>(code & 0xffu);
  }

 private:
#if __CUDA_ARCH__ >= 900
  // Pairs of 8 runs as 4 matrices of 8 x 8, of which a thread has two rows of one column in each word: rows
  // 2 g and 2 g + 1 of matrix m are runs 2 m and 2 m + 1 of group g.
  __device__ void put_matrices(unsigned address) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address),
                 "r"(words_[0]), "r"(words_[1]), "r"(words_[2]), "r"(words_[3])
                 : "memory");
  }
#endif

  std::byte* pairs_;
  unsigned matrices_;
  unsigned words_[4];
};

__device__ inline void store_rotated(std::int8_t* at, const Part& part, const Places& shared) {
  __syncwarp();
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const uint4 codes = *reinterpret_cast<const uint4*>(exchanged_bytes(shared.codes + 2 * kCodesStride * i));
    if ((part.stores >> i & 1) != 0) __stcs(reinterpret_cast<uint4*>(at + 512 * i), codes);
  }
}

}  // namespace octavo::cuda
