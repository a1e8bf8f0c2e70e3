// Nearest with a scale for each row: one read of the source, one write of the codes.
//
// A block takes a row at a time; several blocks on a multiprocessor are at different points of theirs, so
// some wait for memory while others compute, and the next row of each is on its way into the L2 cache. Each
// warp has a panel of 1024 columns, 32 values a thread. Plain: thread l holds columns 8l..8l+7 of each 256,
// packed as they were read until they are rounded. ConvRot: thread l holds two runs of 16 consecutive
// columns, so strides 1 and 4 stay within a thread; one exchange through shared memory gives it two columns
// of all 16 runs of a group, for strides 16 and 64. Then the largest magnitude of the row, the scale, the
// codes, which go back through shared memory so that a thread stores 16 consecutive ones.
//
// Rotating is as much work for a multiprocessor as for the memory: what looks roundabout below saves
// instructions that each thread would repeat in each row.
//
// Values that are not usable (NaN, infinity, from 2^118 on in a rotated basis) show in the row's largest
// magnitude. Only then is the row read again and every value looked at.
#include "nearest.cuh"
#include "nearest.hpp"
#include "reduce.cuh"
#include "rotate.cuh"
#include "status.hpp"

#include <algorithm>

namespace octavo::cuda {
namespace {

constexpr int kPanel = 1024;
// Of a block. A rotating thread has use for more registers than a multiprocessor has for this many.
constexpr int kMostWarps = 32;
constexpr int kFewWarps = 24;
// Shared memory for the exchange of a panel, in floats: 4 groups of 16 runs; the padding keeps 16-byte writes
// of runs and 8-byte reads across runs free of bank conflicts.
constexpr int kRunStride = 20;
constexpr int kGroupStride = 16 * kRunStride + 8;
constexpr int kExchange = 4 * kGroupStride;
// And for its codes, in bytes: they are written and read without conflicts.
constexpr int kCodesStride = 256 + 32;

// More shared memory than a kernel declares itself, in bytes.
constexpr std::size_t kDeclared = 2048;

constexpr float kRotatedLimit = 0x1p118f;

// What a kernel is made for: with `groups_of_256` the stages are not asked for at run time.
enum class Form { plain, rotated, groups_of_256 };

template <Form kForm>
constexpr bool kIsRotated = kForm != Form::plain;

struct Rows {
  const std::byte* source;
  std::int64_t source_stride;  // bytes
  std::int64_t source_step;    // to a block's next row
  std::int8_t* codes;
  std::int64_t codes_stride;
  std::int64_t codes_step;
  float* scales;
  std::int64_t scales_stride;
  int rows;
  int cols;
  bool is_whole;  // the columns are a multiple of kPanel
  int group;
  float factor;  // 1 / root
  float root;    // sqrt(group)
  float qmax;
  float inverse_qmax;
  float floor;
  float scale;
  double* row_errors;
  Record* records;
};

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

// `at` is the address in global memory of the thread's first value, here and below: of a pointer the compiler
// would keep two, for loading and for prefetching.
template <typename Source, bool kRotated>
__device__ inline void load_panel(std::size_t at, bool is_whole, const Part& part,
                                  Chunk<Source> (&chunks)[4]) {
  const std::byte* const first = static_cast<const std::byte*>(__cvta_global_to_generic(at));
  const auto load = [&](int c, bool is_there) {
    chunks[c] =
        load_chunk<Source, !kRotated>(first + chunk_column<kRotated>(c, 0) * Source::kBytes, is_there);
  };
  if (is_whole) {
#pragma unroll
    for (int c = 0; c < 4; ++c) load(c, true);
  } else {
#pragma unroll
    for (int c = 0; c < 4; ++c) load(c, (part.reads >> c & 1) != 0);
  }
}

// Makes values that are not usable 0 and counts them.
template <typename Source, bool kRotated>
__device__ inline void repair_panel(const Rows& args, int row, const Part& part, Chunk<Source> (&chunks)[4],
                                    Tally& tally) {
  const unsigned limit = kRotated ? __float_as_uint(kRotatedLimit) : kInfinityBits;
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    float values[8];
    unpack(chunks[c], values);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (magnitude_bits(values[i]) < limit) continue;
      const int column = part.first + chunk_column<kRotated>(c, 0) + i;
      note_nonfinite(tally, static_cast<long long>(row) * args.cols + column);
      clear_value(chunks[c], i);
    }
  }
}

// Asks for the row's lines of 128 bytes that begin with a value of this thread.
template <typename Source, bool kRotated>
__device__ inline void prefetch_panel(std::size_t at) {
#pragma unroll
  for (int c = 0; c < 4; c += kRotated ? 2 : 1)
    asm volatile("prefetch.global.L2 [%0];" ::"l"(at + chunk_column<kRotated>(c, 0) * Source::kBytes));
}

// Threads that share a line.
template <typename Source, bool kRotated>
constexpr int kSharers = 128 / ((kRotated ? 16 : 8) * Source::kBytes);

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

// The row's scale; thread 0 stores it.
__device__ inline float row_scale(const Rows& args, int row, float absmax, Tally& tally) {
  const float exact = divide_by_whole(absmax, args.qmax, args.inverse_qmax);
  const float scale = fmaxf(exact, args.floor);
  if (threadIdx.x == 0) {
    args.scales[row * args.scales_stride] = scale;
    if (absmax > 0.0f && exact < args.floor) atomicAdd(&tally.floored, 1u);
  }
  return scale;
}

// Reads the panel and brings it to its basis, times 1 / factor: in `x`, where plain packed in `chunks`. Takes
// `at` to the block's next row, which it asks for once this one is on its way. Returns the bits of the row's
// largest magnitude.
template <typename Source, Form kForm>
__device__ inline unsigned take_row(const Rows& args, int row, std::size_t& at, bool asks, const Part& part,
                                    Places& shared, Chunk<Source> (&chunks)[4], float (&x)[32],
                                    Tally& tally) {
  constexpr bool kRotated = kIsRotated<kForm>;
  const unsigned suspicious = kRotated ? __float_as_uint(kRotatedLimit / 2) : kInfinityBits;
  load_panel<Source, kRotated>(at, args.is_whole, part, chunks);
  at += args.source_step;
  if (asks) prefetch_panel<Source, kRotated>(at);
  for (bool is_repaired = false;; is_repaired = true) {
    float largest;
    if constexpr (kRotated) {
      unpack_panel(chunks, x);
      rotate_panel<kForm>(x, args.group, shared);
      largest = largest_of(x);
    } else {
      largest = largest_of(chunks);
    }
    const unsigned bits = row_max(__float_as_uint(largest), shared);
    if (is_repaired || bits < suspicious) return bits;
    load_panel<Source, kRotated>(at - args.source_step, args.is_whole, part, chunks);
    repair_panel<Source, kRotated>(args, row, part, chunks, tally);
  }
}

// Whether sums of squares are far from overflow, and those that count from underflow; for the bits of the
// largest value.
__device__ inline bool has_plain_squares(unsigned largest) {
  return largest - __float_as_uint(0x1p-30f) < __float_as_uint(0x1p30f) - __float_as_uint(0x1p-30f);
}

// The thread's signal in units of the scale.
__device__ inline float scaled_signal(const float (&x)[32], float inverse) {
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < 32; ++i) {
    const float t = __fmul_rn(x[i], inverse);
    sum = __fmaf_rn(t, t, sum);
  }
  return sum;
}

// kGiven: the scale is args.scale, and values may be beyond its range. kWarps: at most, of a block.
template <typename Source, Form kForm, bool kGiven, int kWarps>
__global__ void __launch_bounds__(kWarps * 32, 1) nearest_rows_kernel(const __grid_constant__ Rows args) {
  constexpr bool kRotated = kIsRotated<kForm>;
  constexpr bool kChecked = kRotated && !kGiven;
  __shared__ Tally tally;
  __shared__ Maxima maxima;
  open_tally(tally);
  const int first_row = static_cast<int>(blockIdx.x), step = static_cast<int>(gridDim.x);
  const Part part = part_of_panel<kRotated>(static_cast<int>(threadIdx.x / 32) * kPanel, args.cols);
  Places shared = places_of_thread(maxima);
  std::size_t at = __cvta_generic_to_global(args.source + first_row * args.source_stride) +
                   static_cast<std::size_t>(part.first * Source::kBytes);
  std::int8_t* codes = args.codes + first_row * args.codes_stride + part.first_code;
  const bool asks = threadIdx.x % kSharers<Source, kRotated> == 0 && part.reads == 15;
  const int asking = kept(asks ? args.rows - step : 0);  // rows before this one
  Gathered gathered;
  float error = 0.0f, signal = 0.0f;  // of rows with plain squares
  // Into the cache that all share: it may yet be written.
  if (asks) prefetch_panel<Source, kRotated>(at);
  start_after_previous();
  for (int row = first_row; row < args.rows; row += step) {
    Chunk<Source> chunks[4];
    float x[32];
    const unsigned largest =
        take_row<Source, kForm>(args, row, at, row < asking, part, shared, chunks, x, tally);
    const float absmax = __fmul_rn(__uint_as_float(largest), args.factor);
    const float scale = kGiven ? args.scale : row_scale(args, row, absmax, tally);
    const Rounding rounding = rounding_for<kChecked>(scale, args.factor, args.root, args.qmax);
    if (!kRotated) unpack_panel(chunks, x);
    RowSums sums;
    if constexpr (kRotated) {
      CodePairs pairs(shared);
      round_panel<kGiven, kChecked>(x, rounding, pairs, sums);
      store_rotated(codes, part, shared);
    } else {
      CodeWords words;
      round_panel<kGiven, kChecked>(x, rounding, words, sums);
      store_plain(codes, part, words);
    }
    codes += args.codes_step;
    gathered.max_error = fmaxf(gathered.max_error, sums.largest * scale);
    if (has_plain_squares(largest) && (!kGiven || has_plain_squares(__float_as_uint(scale)))) {
      const float unit = __fmul_rn(scale, scale);
      error = __fmaf_rn(sums.error, unit, error);
      signal = __fmaf_rn(sums.signal, kChecked ? args.factor * args.factor : unit, signal);
    } else {
      if (kChecked) sums.signal = scaled_signal(x, rounding.inverse);
      const double unit = static_cast<double>(scale) * static_cast<double>(scale);
      gathered.error += static_cast<double>(sums.error) * unit;
      gathered.signal += static_cast<double>(sums.signal) * unit;
    }
    if (args.row_errors != nullptr) {
      const double whole_row = block_sum(static_cast<double>(sums.error) * scale * scale);
      if (threadIdx.x == 0) args.row_errors[row] = whole_row;
    }
  }
  gathered.error += error;
  gathered.signal += signal;
  settle(tally, args.records, gathered);
}

using Kernel = void (*)(Rows);

struct Shape {
  Kernel kernel;
  unsigned blocks;
};

// For `rows` of `warps` panels each.
struct Size {
  std::int64_t rows;
  unsigned warps;
  std::size_t shared;  // bytes that a row takes
};

Shape shape_of(const Launch& launch, const Size& size, Kernel kernel) {
  return {kernel, grid_for(launch, kernel, size.rows, size.warps * 32, size.shared)};
}

// Where a block with few warps has more registers for each, and a multiprocessor not far fewer warps for
// that, the kernel that makes use of it. Small blocks then fill the registers to the last, and some of a
// launch find no place at first; so that these do not work alone in the end, all are short.
template <typename Source, Form kForm, bool kGiven>
Shape rotated_shape(const Launch& launch, const Size& size) {
  const Shape usual = shape_of(launch, size, nearest_rows_kernel<Source, kForm, kGiven, kMostWarps>);
  if (size.warps > kFewWarps) return usual;
  Shape roomy = shape_of(launch, size, nearest_rows_kernel<Source, kForm, kGiven, kFewWarps>);
  if (3 * roomy.blocks <= 2 * usual.blocks) return usual;
  constexpr unsigned kSmall = kFewWarps / 4;
  if (size.warps <= kSmall)
    roomy.blocks = static_cast<unsigned>(
        std::min<std::int64_t>({size.rows, 4 * std::int64_t{roomy.blocks}, kMaxBlocks}));
  return roomy;
}

template <typename Source, bool kGiven>
Shape shape_for(const Launch& launch, const Size& size, int group) {
  if (group == 256) return rotated_shape<Source, Form::groups_of_256, kGiven>(launch, size);
  if (group != 0) return rotated_shape<Source, Form::rotated, kGiven>(launch, size);
  return shape_of(launch, size, nearest_rows_kernel<Source, Form::plain, kGiven, kMostWarps>);
}

template <typename Source, bool kGiven>
void launch_rows(const Launch& launch, Rows args) {
  const auto warps = static_cast<unsigned>((args.cols + kPanel - 1) / kPanel);
  const Size size{args.rows, warps, args.group != 0 ? warps * kExchange * sizeof(float) : 0};
  const auto [kernel, blocks] = shape_for<Source, kGiven>(launch, size, args.group);
  args.source_step = blocks * args.source_stride;
  args.codes_step = blocks * args.codes_stride;
  args.records = launch.records(blocks);
  launch_overlapping(launch, reinterpret_cast<const void*>(kernel), blocks, warps * 32, size.shared, &args);
}

template <typename Source>
void launch_source(const Launch& launch, const Rows& args) {
  args.scales == nullptr ? launch_rows<Source, true>(launch, args) : launch_rows<Source, false>(launch, args);
}

std::int64_t bytes_of_source(std::uint32_t dtype) { return dtype == OCTAVO_F32 ? 4 : 2; }

float root_of(std::int64_t group) {
  return group == 256 ? 16.0f : group == 64 ? 8.0f : group == 16 ? 4.0f : 1.0f;
}

}  // namespace

std::int64_t widest_row(const Residency& residency, std::int64_t basis_group) {
  constexpr std::int64_t kWidest = kMostWarps * kPanel;
  if (basis_group == 0) return kWidest;
  const std::size_t panels = (residency.shared_limit() - kDeclared) / (kExchange * sizeof(float));
  return std::min(kWidest, static_cast<std::int64_t>(panels) * kPanel);
}

void nearest_rows(const Launch& launch, const NearestJob& job) {
  Rows args{};
  args.source = static_cast<const std::byte*>(job.source.data);
  args.source_stride = job.source.stride * bytes_of_source(job.source.dtype);
  args.codes = job.codes;
  args.codes_stride = job.codes_stride;
  args.scales = job.scales;
  args.scales_stride = job.scales_stride;
  args.rows = static_cast<int>(job.source.rows);
  args.cols = static_cast<int>(job.source.cols);
  args.is_whole = job.source.cols % kPanel == 0;
  args.group = static_cast<int>(job.basis_group);
  args.factor = 1.0f / root_of(job.basis_group);
  args.root = root_of(job.basis_group);
  args.qmax = job.qmax;
  args.inverse_qmax = 1.0f / job.qmax;
  args.floor = job.floor;
  args.scale = job.scale;
  args.row_errors = job.row_errors;
  switch (job.source.dtype) {
    case OCTAVO_F32:
      return launch_source<F32>(launch, args);
    case OCTAVO_F16:
      return launch_source<F16>(launch, args);
    default:
      return launch_source<Bf16>(launch, args);
  }
}

}  // namespace octavo::cuda
