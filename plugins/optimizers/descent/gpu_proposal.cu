// Which steps a rule proposes. What is touched for every element of a layer is kept in 8 or 16 bits and
// computed in 16, two values in an instruction: the gradient, the distance to the code, the offset and the
// moments only decide which steps are tried.
#include "gpu_columns.cuh"

#include <math_constants.h>

namespace octavo::descent::gpu {
namespace {

constexpr float kMomentUnits = 32;  // the gradients' root mean square is 1
constexpr float kOffsetLimit = 1.5f;
constexpr float kLeastSize = 1e-30f;
constexpr float kLeastSquare = 0x1p-28f;  // of a root that 16 bits hold in full
constexpr float kLargestHalf = 65504;

// 16-bit values of kVector neighbours, by pairs.
constexpr int kPairs = kVector / 2;

struct Pairs {
  Neighbours<std::uint16_t> values;

  __device__ half2& operator[](int i) { return reinterpret_cast<half2*>(values.at)[i]; }
  __device__ half2 operator[](int i) const { return reinterpret_cast<const half2*>(values.at)[i]; }
};

__device__ unsigned bits_of(half2 pair) { return reinterpret_cast<const unsigned&>(pair); }
__device__ half2 pair_of_bits(unsigned bits) { return reinterpret_cast<const half2&>(bits); }

// 8-bit values of kVector neighbours, by pairs of 16 bits. There 0x6400 is 1024, and its last byte counts on.
template <typename T>
struct BytePairs {
  static constexpr unsigned kLeast = std::is_signed_v<T> ? 128 : 0;  // below 0

  Neighbours<T> values;

  __device__ half2 operator[](int i) const {
    const unsigned bytes = reinterpret_cast<const unsigned*>(values.at)[i / 2] ^ kLeast * 0x01010101;
    const unsigned pair = __byte_perm(bytes, 0x64646464, i % 2 == 0 ? 0x4140 : 0x4342);
    return __hsub2(pair_of_bits(pair), __float2half2_rn(1024 + kLeast));
  }
  // To whole numbers.
  __device__ void round(int i, half2 pair) {
    const unsigned bits = bits_of(__hadd2(pair, __float2half2_rn(1024 + kLeast))) ^ kLeast * 0x00010001;
    unsigned& bytes = reinterpret_cast<unsigned*>(values.at)[i / 2];
    bytes = __byte_perm(bytes, bits, i % 2 == 0 ? 0x3264 : 0x6410);
  }
};

// In both halves, the nearest that 16 bits hold.
__device__ half2 pair_of(float value) {
  return __float2half2_rn(fminf(fmaxf(value, -kLargestHalf), kLargestHalf));
}

__device__ half2 clamped(half2 pair, float least, float largest) {
  return __hmin2(__hmax2(pair, pair_of(least)), pair_of(largest));
}

// Without a branch for arguments next to 0.
__device__ float fast_rsqrt(float value) {
  float root;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(root) : "f"(value));
  return root;
}
__device__ float fast_reciprocal(float value) {
  float reciprocal;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(reciprocal) : "f"(value));
  return reciprocal;
}

// A row whose weights a warp moves, and what all of its columns share.
struct Row {
  std::int64_t number;
  std::int64_t begin;                          // its first element
  const std::uint16_t* gradient;               // its first one's
  half2 slope_of_gradient, slope_of_distance;  // see Costs
  half2 left_square, error_weight;
  half2 by_size{};     // 1 / root mean square of the gradient with respect to the codes
  float by_means = 1;  // 1 / that of the first moments
  half2 rate;          // below 0: against the gradient
  half2 weight_decay;
};

// The gradient with respect to a code is g / s: a step of a smaller scale costs less. Where a row shares its
// scale, that falls out of the unit, and is in slope_of_gradient.
template <bool kRowScales>
__device__ Row row_of(const Layer& layer, const Direction& direction, const Proposal& proposal) {
  const std::int64_t number = proposal.first_row + warp();
  const float step = kRowScales ? at_element(layer.steps, layer, number, 0) : 1;
  const float weight = step > 0 ? proposal.error_weight : CUDART_INF_F;  // none may be taken
  return {.number = number,
          .begin = number * layer.cols,
          .gradient = proposal.gradient + warp() * layer.cols,
          .slope_of_gradient = pair_of(-2 * proposal.gradient_scale / step),
          .slope_of_distance = pair_of(-2 * proposal.error_weight / kDistanceUnits),
          .left_square = pair_of(layer.left_squares[number]),
          .error_weight = __float2half2_rn(weight),
          .rate = pair_of(-proposal.rate),
          .weight_decay = pair_of(direction.weight_decay)};
}

// With respect to the codes but for what a row shares.
template <bool kRowScales, bool kAligned>
__device__ void divide_by_scales(Pairs& gradients, const Layer& layer, const Row& row,
                                 const Columns<kAligned>& columns) {
  if constexpr (!kRowScales) {
    Neighbours<float> scales;
    scales.read(layer.scales + row.number * layer.scale_row, columns);
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const half2 of = {__float2half_rn(fminf(fast_reciprocal(scales.at[2 * i]), kLargestHalf)),
                        __float2half_rn(fminf(fast_reciprocal(scales.at[2 * i + 1]), kLargestHalf))};
      gradients[i] = __hmul2(gradients[i], of);
    }
  }
}

template <bool kRowScales, bool kAligned>
__device__ Pairs gradients_of(const Layer& layer, const Row& row, const Columns<kAligned>& columns) {
  Pairs gradients;
  gradients.values.read(row.gradient, columns);
  divide_by_scales<kRowScales>(gradients, layer, row, columns);
  return gradients;
}

// `mean` in its units.
__device__ half2 next_mean(const Direction& direction, half2 mean, half2 unit) {
  return __hfma2(unit, pair_of(1 - direction.beta1), __hmul2(mean, pair_of(direction.beta1 / kMomentUnits)));
}

// The first moments that are to come.
template <bool kRowScales, bool kAligned>
__device__ Pairs means_of(const Layer& layer, const Direction& direction, const Row& row,
                          const Columns<kAligned>& columns) {
  Pairs means = gradients_of<kRowScales>(layer, row, columns);
  BytePairs<std::int8_t> before;
  before.values.read(layer.mean + row.begin, columns);
#pragma unroll
  for (int i = 0; i < kPairs; ++i) means[i] = next_mean(direction, before[i], __hmul2(means[i], row.by_size));
  return means;
}

// 1 / root mean square over a row. `values(columns)`: kVector of them, 0 where there are none.
template <bool kAligned, typename Values>
__device__ float by_row_size(std::int64_t cols, Values values) {
  float squares = 0;
  for_columns<kAligned>(cols, [&](const Columns<kAligned>& columns) {
    const Pairs some = values(columns);
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const float2 pair = __half22float2(some[i]);
      squares = fmaf(pair.x, pair.x, fmaf(pair.y, pair.y, squares));
    }
  });
  return 1 / fmaxf(sqrtf(warp_sum(squares) / static_cast<float>(cols)), kLeastSize);
}

// What is kept of kVector neighbours. kMoments: of the direction.
template <bool kMoments>
struct Kept {
  Pairs gradients, offsets;
  BytePairs<std::int8_t> distances, means;
  BytePairs<std::uint8_t> roots;

  template <bool kAligned>
  __device__ void read(const Layer& layer, const Row& row, const Columns<kAligned>& columns) {
    gradients.values.read(row.gradient, columns);
    offsets.values.read_once(layer.offset + row.begin, columns);
    distances.values.read_once(layer.distance + row.begin, columns);
    if constexpr (kMoments) {
      means.values.read_once(layer.mean + row.begin, columns);
      roots.values.read_once(layer.root + row.begin, columns);
    }
  }
  template <bool kAligned>
  __device__ void write(const Layer& layer, const Row& row, const Columns<kAligned>& columns) const {
    offsets.values.write_once(layer.offset + row.begin, columns);
    if constexpr (kMoments) {
      means.values.write_once(layer.mean + row.begin, columns);
      roots.values.write_once(layer.root + row.begin, columns);
    }
  }
  // Where the rule moves pair i, for gradients of `unit`.
  __device__ half2 way(const Direction& direction, const Row& row, int i, half2 unit) {
    if constexpr (!kMoments) return unit;
    const half2 new_means = next_mean(direction, means[i], unit);
    const float2 mean = __half22float2(new_means), root = __half22float2(roots[i]),
                 gradient = __half22float2(unit);
    const float2 now = {next_root(direction, root.x, gradient.x), next_root(direction, root.y, gradient.y)};
    means.round(i, clamped(in_units(direction, new_means), INT8_MIN, INT8_MAX));
    roots.round(i, clamped(in_units(direction, __float22half2_rn(now)), 0, UINT8_MAX));
    return __floats2half2_rn(mean.x * by_root(direction, row, now.x),
                             mean.y * by_root(direction, row, now.y));
  }

 private:
  static __device__ float next_root(const Direction& direction, float root, float gradient) {
    const float before = root * (1 / kMomentUnits), square = before * before;
    const float now = fmaf(direction.square_gain, fmaf(gradient, gradient, -square), square);
    const float kept = fmaxf(now, kLeastSquare);
    return kept * fast_rsqrt(kept);
  }
  static __device__ half2 in_units(const Direction& direction, half2 moments) {
    return __hfma2(moments, pair_of(kMomentUnits), pair_of(direction.dither));
  }
  static __device__ float by_root(const Direction& direction, const Row& row, float root) {
    if (direction.by_row_size) return row.by_means;
    return direction.factor * direction.mean_factor * fast_reciprocal(root + direction.epsilon);
  }
};

// Steps of kVector neighbours, a bit each: those chosen, and of all which would lead up.
struct Steps {
  unsigned chosen = 0, ups = 0;

  // All bits of a half are set or none: those of pair i.
  __device__ void add(int i, unsigned chosen_halves, unsigned up_halves) {
    const unsigned places = 1u << (2 * i) | 1u << (2 * i + 1 + 16);
    chosen |= chosen_halves & places;
    ups |= up_halves & places;
  }
  __device__ Steps in_order() const { return {(chosen | chosen >> 16) & 0xff, (ups | ups >> 16) & 0xff}; }
};

// What a step t = +-1 changes f by is, over the square of its size s,
//   error_weight + |u_r|^2 |v_c|^2 - t slope,  slope = -2 (g / s + error_weight distance)
template <bool kRowScales, bool kAligned>
struct Costs {
  Pairs right_squares;
  Neighbours<float> steps;  // where columns have their own

  __device__ Costs(const Layer& layer, const Row& row, const Columns<kAligned>& columns) {
    right_squares.values.read(layer.right_squares, columns);
    if constexpr (!kRowScales) steps.read(layer.steps + row.number * layer.scale_row, columns);
  }
  __device__ half2 of(const Row& row, int i) const {
    const half2 cost = __hfma2(right_squares[i], row.left_square, row.error_weight);
    if constexpr (kRowScales) return cost;
    const float x = steps.at[2 * i] > 0 ? 0 : CUDART_INF_F, y = steps.at[2 * i + 1] > 0 ? 0 : CUDART_INF_F;
    return __hadd2(cost, __floats2half2_rn(x, y));
  }
};

// Moves weights by the rule; chosen are the steps to the codes they round to that lower f by themselves.
template <bool kMoments, bool kRowScales, bool kAligned>
__device__ Steps move_weights(const Layer& layer, const Direction& direction, const Row& row,
                              const Columns<kAligned>& columns, Kept<kMoments>& kept) {
  constexpr unsigned kSigns = 0x80008000;
  const Costs<kRowScales, kAligned> costs(layer, row, columns);
  divide_by_scales<kRowScales>(kept.gradients, layer, row, columns);
  Steps steps;
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const half2 gradient = kept.gradients[i], before = kept.offsets[i], distance = kept.distances[i];
    const half2 way = kept.way(direction, row, i, __hmul2(gradient, row.by_size));
    const half2 moved = __hfma2(__hfma2(before, row.weight_decay, way), row.rate, before);
    const half2 offset = clamped(moved, -kOffsetLimit, kOffsetLimit);
    kept.offsets[i] = offset;
    const half2 beyond = __hfma2(distance, pair_of(-1 / kDistanceUnits), offset);
    const half2 slope = __hfma2(gradient, row.slope_of_gradient, __hmul2(distance, row.slope_of_distance));
    const half2 gain = pair_of_bits(bits_of(slope) ^ (bits_of(beyond) & kSigns));
    const unsigned leaves = __hgt2_mask(__habs2(beyond), pair_of(0.5f));
    steps.add(i, leaves & __hgt2_mask(gain, costs.of(row, i)), __hgt2_mask(beyond, half2{}));
  }
  return steps.in_order();
}

// Of the steps chosen from element `first` on, those that end on the grid and are in the share.
__device__ unsigned allowed(const Layer& layer, const Proposal& proposal, std::int64_t first, Steps steps) {
  unsigned left = steps.chosen;
  for (unsigned rest = steps.chosen; rest != 0; rest &= rest - 1) {
    const int i = __ffs(rest) - 1;
    const int code = layer.codes[first + i] + ((steps.ups >> i & 1) != 0 ? 1 : -1);
    const bool on_grid = code >= layer.least_code && code <= layer.largest_code;
    const bool taken = proposal.share >= 1 || in_share(first + i, proposal.iteration, proposal.share);
    if (!on_grid || !taken) left &= ~(1u << i);
  }
  return left;
}

// The list of a row's steps, which a warp makes.
struct List {
  std::int32_t* elements;
  std::int64_t capacity;
  std::int64_t length = 0;

  // Those that each lane has among its columns.
  __device__ void append(const Steps& steps, std::int64_t first_col) {
    if (__all_sync(~0u, steps.chosen == 0)) return;
    int total = 0;
    std::int64_t place = length + warp_scan(__popc(steps.chosen), total);
    for (unsigned rest = steps.chosen; rest != 0; rest &= rest - 1, ++place) {
      const int i = __ffs(rest) - 1;
      if (place < capacity)
        elements[place] = static_cast<std::int32_t>(2 * (first_col + i) + (steps.ups >> i & 1));
    }
    length = min(length + total, capacity);
  }
};

template <bool kMoments, bool kRowScales, bool kAligned>
__global__ void __launch_bounds__(kThreads)
    propose_rows(Layer layer, Direction direction, Proposal proposal, Batch batch) {
  if (warp() >= proposal.rows) return;
  Row row = row_of<kRowScales>(layer, direction, proposal);
  Kept<kMoments> next;
  next.read(layer, row, columns_from<kAligned>(0, layer.cols));
  row.by_size = pair_of(by_row_size<kAligned>(layer.cols, [&](const Columns<kAligned>& columns) {
    return gradients_of<kRowScales>(layer, row, columns);
  }));
  if (kMoments && direction.by_row_size)
    row.by_means = by_row_size<kAligned>(layer.cols, [&](const Columns<kAligned>& columns) {
      return means_of<kRowScales>(layer, direction, row, columns);
    });
  List list{batch.elements + row.number * batch.capacity, batch.capacity};
  for (std::int64_t first = 0; first < layer.cols; first += kWarpColumns) {
    const auto columns = columns_from<kAligned>(first, layer.cols);
    Kept<kMoments> kept = next;
    // On its way from here on.
    next.read(layer, row, columns_from<kAligned>(first + kWarpColumns, layer.cols));
    Steps steps = move_weights<kMoments, kRowScales>(layer, direction, row, columns, kept);
    kept.write(layer, row, columns);
    steps.chosen = allowed(layer, proposal, row.begin + columns.first, steps);
    list.append(steps, columns.first);
  }
  if (lane() == 0) batch.counts[row.number] = static_cast<std::int32_t>(list.length);
}

template <bool kMoments>
auto propose_kernel(const Layer& layer) {
  if (layer.scale_col == 0)
    return is_aligned(layer) ? propose_rows<kMoments, true, true> : propose_rows<kMoments, true, false>;
  return is_aligned(layer) ? propose_rows<kMoments, false, true> : propose_rows<kMoments, false, false>;
}

}  // namespace

void propose(const Layer& layer, const Direction& direction, const Proposal& proposal, const Batch& batch) {
  const auto kernel = direction.moments ? propose_kernel<true>(layer) : propose_kernel<false>(layer);
  kernel<<<blocks_for(proposal.rows), kThreads, 0, stream_of(layer)>>>(layer, direction, proposal, batch);
}

}  // namespace octavo::descent::gpu
