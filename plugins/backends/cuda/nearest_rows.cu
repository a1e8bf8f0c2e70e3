// Nearest with a scale for each row: one read of the source, one write of the codes.
//
// A block takes a row at a time, a warp for each panel of 1024 columns (panel.cuh): values, their rotation,
// the largest magnitude of the row, the scale, the codes. Several blocks on a multiprocessor are at different
// points of theirs, so some wait for memory while others compute, and the next row of each is on its way:
// into the L2 cache, or to the block's shared memory where that can be (row_reader.cuh). Rotated rows of
// 16-bit values gain by the latter; plain ones wait for memory as it is.
//
// Values that are not usable (NaN, infinity, from 2^118 on in a rotated basis) show in the row's largest
// magnitude. Only then is the row read again and every value looked at.
#include "nearest.cuh"
#include "nearest.hpp"
#include "panel.cuh"
#include "reduce.cuh"
#include "row_reader.cuh"
#include "status.hpp"

#include <octavo/tensor.hpp>

#include <algorithm>
#include <optional>
#include <type_traits>

namespace octavo::cuda {
namespace {

// How blocks are made up, by the most warps of one. A rotating thread has use for more registers than a
// multiprocessor has for kMostWarps: `roomy` blocks have them. `ahead` ones have their next row in shared
// memory and hold less in registers, `dense` ones as well, of which more warps fit.
enum class Block { usual = kMostWarps, dense = 31, ahead = 28, roomy = 24 };

template <Block kBlock>
constexpr bool kReadsAhead = kBlock == Block::ahead || kBlock == Block::dense;

template <Block kBlock>
constexpr int kWarps = static_cast<int>(kBlock);

// More shared memory than a kernel declares itself, in bytes.
constexpr std::size_t kDeclared = 2048;

struct Rows {
  SourceRows source;
  std::int8_t* codes;
  std::int64_t codes_stride;
  std::int64_t codes_step;  // to a block's next row
  float* scales;
  std::int64_t scales_stride;
  int group;
  float factor;  // 1 / root
  float root;    // sqrt(group)
  float qmax;
  float inverse_qmax;
  float floor;
  float scale;
  double* row_errors;
  Record* records;
  bool reads_early;
};

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
      note_nonfinite(tally, static_cast<long long>(row) * args.source.cols + column);
      clear_value(chunks[c], i);
    }
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

// Reads the panel and brings it to its basis, times 1 / factor: in `x`, where plain packed in `chunks`.
// Returns the bits of the row's largest magnitude.
template <typename Source, Form kForm, typename Reader>
__device__ inline unsigned take_row(const Rows& args, int row, Reader& reader, const Part& part,
                                    Places& shared, Chunk<Source> (&chunks)[4], float (&x)[32],
                                    Tally& tally) {
  constexpr bool kRotated = kIsRotated<kForm>;
  const unsigned suspicious = kRotated ? __float_as_uint(kRotatedLimit / 2) : kInfinityBits;
  reader.read(args.source, row, part, chunks);
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
    reader.read_again(args.source, part, chunks);
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

// What a thread has gathered in its rows; of those with plain squares in floats.
struct Sums {
  Gathered gathered;
  float error = 0.0f;
  float signal = 0.0f;

  __device__ Gathered total() const {
    return {gathered.error + error, gathered.signal + signal, gathered.max_error};
  }
};

// Adds a row of which `x` are the thread's values and `largest` the bits of the largest one.
template <bool kGiven, bool kChecked>
__device__ inline void add_row(Sums& to, const RowSums& row, const float (&x)[32], unsigned largest,
                               float scale, float factor, float inverse) {
  to.gathered.max_error = fmaxf(to.gathered.max_error, row.largest * scale);
  if (has_plain_squares(largest) && (!kGiven || has_plain_squares(__float_as_uint(scale)))) {
    const float unit = __fmul_rn(scale, scale);
    to.error = __fmaf_rn(row.error, unit, to.error);
    to.signal = __fmaf_rn(row.signal, kChecked ? factor * factor : unit, to.signal);
  } else {
    const float signal = kChecked ? scaled_signal(x, inverse) : row.signal;
    const double unit = static_cast<double>(scale) * static_cast<double>(scale);
    to.gathered.error += static_cast<double>(row.error) * unit;
    to.gathered.signal += static_cast<double>(signal) * unit;
  }
}

// Codes of the thread's part of a row, and what rounding to them costs.
template <Form kForm, bool kGiven>
__device__ inline RowSums round_row(std::int8_t* codes, const float (&x)[32], const Rounding& rounding,
                                    const Part& part, const Places& shared) {
  RowSums sums;
  if constexpr (kIsRotated<kForm>) {
    CodePairs pairs(shared);
    round_panel<kGiven, !kGiven>(x, rounding, pairs, sums);
    store_rotated(codes, part, shared);
  } else {
    CodeWords words;
    round_panel<kGiven, false>(x, rounding, words, sums);
    store_plain(codes, part, words);
  }
  return sums;
}

// kGiven: the scale is args.scale, and values may be beyond its range.
template <typename Source, Form kForm, bool kGiven, typename Reader>
__device__ inline void convert_rows(const Rows& args) {
  constexpr bool kRotated = kIsRotated<kForm>;
  constexpr bool kChecked = kRotated && !kGiven;
  __shared__ Tally tally;
  __shared__ Maxima maxima;
  const int first_row = static_cast<int>(blockIdx.x), step = static_cast<int>(gridDim.x);
  const Part part = part_of_panel<kRotated>(static_cast<int>(threadIdx.x / 32) * kPanel, args.source.cols);
  Places shared = places_of_thread(maxima);
  Reader reader(args.source, part);
  open_tally(tally);
  std::int8_t* codes = args.codes + first_row * args.codes_stride + part.first_code;
  Sums sums;
  reader.prefetch_first(args.source);  // into the cache that all share: it may yet be written
  if (!args.reads_early) start_after_previous();
  reader.ask(args.source, first_row);
  for (int row = first_row; row < args.source.rows; row += step) {
    Chunk<Source> chunks[4];
    float x[32];
    const unsigned largest = take_row<Source, kForm>(args, row, reader, part, shared, chunks, x, tally);
    start_after_previous();  // at the latest before something is written
    reader.ask(args.source, row + step);
    const float absmax = __fmul_rn(__uint_as_float(largest), args.factor);
    const float scale = kGiven ? args.scale : row_scale(args, row, absmax, tally);
    const Rounding rounding = rounding_for<kChecked>(scale, args.factor, args.root, args.qmax);
    if (!kRotated) unpack_panel(chunks, x);
    const RowSums of_row = round_row<kForm, kGiven>(codes, x, rounding, part, shared);
    codes += args.codes_step;
    add_row<kGiven, kChecked>(sums, of_row, x, largest, scale, args.factor, rounding.inverse);
    if (args.row_errors != nullptr) {
      const double whole_row = block_sum(static_cast<double>(of_row.error) * scale * scale);
      if (threadIdx.x == 0) args.row_errors[row] = whole_row;
    }
  }
  settle(tally, args.records, sums.total());
}

template <typename Source, Form kForm, Block kBlock>
using ReaderOf =
    std::conditional_t<kReadsAhead<kBlock>, CopiedRows<Source>, LoadedRows<Source, kIsRotated<kForm>>>;

// Where there are no bulk copies nothing asks for blocks that read ahead.
template <typename Source, Form kForm, bool kGiven, Block kBlock>
__global__ void __launch_bounds__(kWarps<kBlock> * 32, 1)
    nearest_rows_kernel(const __grid_constant__ Rows args) {
  if constexpr (!kReadsAhead<kBlock> || kHasBulkCopies)
    convert_rows<Source, kForm, kGiven, ReaderOf<Source, kForm, kBlock>>(args);
}

using Kernel = void (*)(Rows);

struct Shape {
  Kernel kernel;
  unsigned blocks;
  std::size_t shared;  // bytes that a block is given
};

// For `rows` of `warps` panels each.
struct Size {
  std::int64_t rows;
  unsigned warps;
};

template <typename Source, Form kForm, Block kBlock>
constexpr std::size_t kSharedOfPanel = (kIsRotated<kForm> ? kExchangeBytes : 0) +
                                       (kReadsAhead<kBlock> ? kPanel * Source::kBytes : 0);

template <typename Source, Form kForm, bool kGiven, Block kBlock>
Shape shape_of(const Launch& launch, const Size& size) {
  const Kernel kernel = nearest_rows_kernel<Source, kForm, kGiven, kBlock>;
  const std::size_t shared = size.warps * kSharedOfPanel<Source, kForm, kBlock>;
  return {kernel, grid_for(launch, kernel, size.rows, size.warps * 32, shared), shared};
}

// Nothing where the row is too wide, where the device has not the shared memory for all the warps that the
// registers are for, or where the kernel's code has no copies.
template <typename Source, Form kForm, bool kGiven, Block kBlock>
std::optional<Shape> shape_ahead(const Launch& launch, const Size& size) {
  constexpr std::size_t kShared = kWarps<kBlock> * kSharedOfPanel<Source, kForm, kBlock>;
  const Kernel kernel = nearest_rows_kernel<Source, kForm, kGiven, kBlock>;
  if (size.warps > kWarps<kBlock> || kShared + kDeclared > launch.residency.shared_limit() ||
      !launch.residency.has_hopper_code(reinterpret_cast<const void*>(kernel)))
    return std::nullopt;
  return shape_of<Source, kForm, kGiven, kBlock>(launch, size);
}

// Small blocks fill the registers to the last, and some of a launch find no place at first: so that these do
// not work alone in the end, all are short.
unsigned short_blocks(const Size& size, unsigned resident) {
  if (size.warps > kWarps<Block::roomy> / 4) return resident;
  return static_cast<unsigned>(std::min<std::int64_t>({size.rows, 4 * std::int64_t{resident}, kMaxBlocks}));
}

// What has its next row at hand or more registers is better where a multiprocessor has not far fewer warps
// for that.
template <typename Source, Form kForm, bool kGiven>
Shape rotated_shape(const Launch& launch, const Size& size) {
  const Shape usual = shape_of<Source, kForm, kGiven, Block::usual>(launch, size);
  const auto is_better = [&](const Shape& shape) { return 3 * shape.blocks > 2 * usual.blocks; };
  if constexpr (Source::kBytes == 2) {
    const std::optional<Shape> ahead = shape_ahead<Source, kForm, kGiven, Block::ahead>(launch, size);
    if (ahead && is_better(*ahead)) return *ahead;
    const std::optional<Shape> dense = shape_ahead<Source, kForm, kGiven, Block::dense>(launch, size);
    if (dense && is_better(*dense)) return *dense;
  }
  if (size.warps > kWarps<Block::roomy>) return usual;
  Shape roomy = shape_of<Source, kForm, kGiven, Block::roomy>(launch, size);
  if (!is_better(roomy)) return usual;
  roomy.blocks = short_blocks(size, roomy.blocks);
  return roomy;
}

template <typename Source, bool kGiven>
Shape shape_for(const Launch& launch, const Size& size, int group) {
  if (group == 256) return rotated_shape<Source, Form::groups_of_256, kGiven>(launch, size);
  if (group != 0) return rotated_shape<Source, Form::rotated, kGiven>(launch, size);
  return shape_of<Source, Form::plain, kGiven, Block::usual>(launch, size);
}

template <typename Source, bool kGiven>
void launch_rows(const Launch& launch, Rows args) {
  const auto warps = static_cast<unsigned>((args.source.cols + kPanel - 1) / kPanel);
  const Shape shape = shape_for<Source, kGiven>(launch, {args.source.rows, warps}, args.group);
  args.source.step = shape.blocks * args.source.stride;
  args.codes_step = shape.blocks * args.codes_stride;
  args.records = launch.records(shape.blocks);
  launch_overlapping(launch, reinterpret_cast<const void*>(shape.kernel), shape.blocks, warps * 32,
                     shape.shared, &args);
}

template <typename Source>
void launch_source(const Launch& launch, const Rows& args) {
  args.scales == nullptr ? launch_rows<Source, true>(launch, args) : launch_rows<Source, false>(launch, args);
}

float root_of(std::int64_t group) {
  return group == 256 ? 16.0f : group == 64 ? 8.0f : group == 16 ? 4.0f : 1.0f;
}

}  // namespace

std::int64_t widest_row(const Residency& residency, std::int64_t basis_group) {
  constexpr std::int64_t kWidest = kMostWarps * kPanel;
  if (basis_group == 0) return kWidest;
  const std::size_t panels = (residency.shared_limit() - kDeclared) / kExchangeBytes;
  return std::min(kWidest, static_cast<std::int64_t>(panels) * kPanel);
}

void nearest_rows(const Launch& launch, const NearestJob& job) {
  Rows args{};
  args.source.data = static_cast<const std::byte*>(job.source.data);
  args.source.stride = job.source.stride * static_cast<std::int64_t>(bytes_of(job.source.dtype));
  args.codes = job.codes;
  args.codes_stride = job.codes_stride;
  args.scales = job.scales;
  args.scales_stride = job.scales_stride;
  args.source.rows = static_cast<int>(job.source.rows);
  args.source.cols = static_cast<int>(job.source.cols);
  args.source.is_whole = job.source.cols % kPanel == 0;
  args.group = static_cast<int>(job.basis_group);
  args.factor = 1.0f / root_of(job.basis_group);
  args.root = root_of(job.basis_group);
  args.qmax = job.qmax;
  args.inverse_qmax = 1.0f / job.qmax;
  args.floor = job.floor;
  args.scale = job.scale;
  args.row_errors = job.row_errors;
  args.reads_early = job.reads_early;
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
