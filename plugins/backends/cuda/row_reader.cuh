// How the blocks of nearest_rows.cu read their rows, one after the other.
//
// LoadedRows and CopiedRows are used alike: prefetch_first() and ask() for the first row; then for each row
// read(), perhaps read_again(), and once all threads have done so ask() for the next.
#pragma once

#include "panel.cuh"

#include <cstddef>
#include <cstdint>

namespace octavo::cuda {

// Whether code for this architecture can have rows copied to shared memory while its threads work.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
constexpr bool kHasBulkCopies = true;
#else
constexpr bool kHasBulkCopies = false;
#endif

struct SourceRows {
  const std::byte* data;
  std::int64_t stride;  // bytes
  std::int64_t step;    // to a block's next row
  int rows;
  int cols;
  bool is_whole;  // the columns are a multiple of kPanel
};

// Addresses are those of global memory: of a pointer the compiler would keep two, for loading and for
// prefetching.
__device__ inline std::size_t address_of(const SourceRows& source, int row) {
  return __cvta_generic_to_global(source.data + row * source.stride);
}

// `at` is the address of the thread's first value.
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

// Rows that are loaded when they are due. By then they are on their way into the L2 cache.
template <typename Source, bool kRotated>
class LoadedRows {
 public:
  __device__ LoadedRows(const SourceRows& source, const Part& part)
      : at_(address_of(source, static_cast<int>(blockIdx.x)) +
            static_cast<std::size_t>(part.first * Source::kBytes)),
        asks_(threadIdx.x % kSharers == 0 && part.reads == 15),
        asking_(kept(asks_ ? source.rows - static_cast<int>(gridDim.x) : 0)) {}

  __device__ void prefetch_first(const SourceRows&) const {
    if (asks_) prefetch();
  }
  __device__ void ask(const SourceRows&, int) const {}

  __device__ void read(const SourceRows& source, int row, const Part& part, Chunk<Source> (&chunks)[4]) {
    load_panel<Source, kRotated>(at_, source.is_whole, part, chunks);
    at_ += source.step;
    if (row < asking_) prefetch();
  }
  __device__ void read_again(const SourceRows& source, const Part& part, Chunk<Source> (&chunks)[4]) const {
    load_panel<Source, kRotated>(at_ - source.step, source.is_whole, part, chunks);
  }

 private:
  static constexpr int kSharers = 128 / ((kRotated ? 16 : 8) * Source::kBytes);  // threads that share a line

  // The lines of 128 bytes that begin with a value of this thread.
  __device__ void prefetch() const {
#pragma unroll
    for (int c = 0; c < 4; c += kRotated ? 2 : 1)
      asm volatile("prefetch.global.L2 [%0];" ::"l"(at_ + chunk_column<kRotated>(c, 0) * Source::kBytes));
  }

  std::size_t at_;  // of the thread's first value
  bool asks_;
  int asking_;  // asks while in rows before this one
};

// Rotated rows that are copied to the block's shared memory, behind what it exchanges there. Thread 0 asks
// for the copy of a row once the one before is in registers, and for the row after to come into the L2 cache.
template <typename Source>
class CopiedRows {
 public:
  // Called by all threads of the block, which synchronize before anything else.
  __device__ CopiedRows(const SourceRows& source, const Part&) {
    if (threadIdx.x == 0) {
      asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(arrival()) : "memory");
      asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    if (!source.is_whole) clear();
    // Copies see what threads have written only after a fence.
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  }

  __device__ void prefetch_first(const SourceRows& source) const {
    if (threadIdx.x == 0) prefetch(source, address_of(source, static_cast<int>(blockIdx.x)));
  }

  __device__ void ask(const SourceRows& source, int row) const {
    if (threadIdx.x != 0 || row >= source.rows) return;
    const std::size_t at = address_of(source, row);
    copy(source, at);
    if (row + static_cast<int>(gridDim.x) < source.rows) prefetch(source, at + source.step);
  }

  __device__ void read(const SourceRows& source, int, const Part& part, Chunk<Source> (&chunks)[4]) {
    wait();
    read_again(source, part, chunks);
  }
  __device__ void read_again(const SourceRows&, const Part&, Chunk<Source> (&chunks)[4]) const {
    const std::byte* const first = exchanged_bytes(first_);
#pragma unroll
    for (int c = 0; c < 4; ++c)
      chunks[c].words[0] = *reinterpret_cast<const uint4*>(first + chunk_column<true>(c, 0) * Source::kBytes);
  }

 private:
  static_assert(Source::kBytes == 2);

  // Where a row is copied to, as an offset in the exchange memory.
  __device__ static int place() { return static_cast<int>(blockDim.x / 32) * kExchangeBytes; }
  __device__ static int place_of_thread() {
    const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
    return place() + (warp * kPanel + chunk_column<true>(0, lane)) * Source::kBytes;
  }

  // Address of the barrier that counts the row's bytes as they arrive.
  __device__ static unsigned arrival() {
    __shared__ std::uint64_t barrier;
    return shared_address(&barrier);
  }

  // A multiple of 16.
  __device__ static unsigned bytes_of(const SourceRows& source) {
    return static_cast<unsigned>((source.cols + 7) / 8 * 8 * Source::kBytes);
  }

  // Makes the columns zero that no copy reaches.
  __device__ static void clear() {
    auto* const chunks = reinterpret_cast<uint4*>(exchanged_bytes(place()));
    for (int c = 0; c < 4; ++c) chunks[threadIdx.x + c * blockDim.x] = make_uint4(0, 0, 0, 0);
  }

  __device__ static void copy(const SourceRows& source, std::size_t from) {
    const unsigned bytes = bytes_of(source);
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(arrival()), "r"(bytes) : "memory");
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
                 :
                 : "r"(shared_address(exchanged_bytes(place()))), "l"(from), "r"(bytes), "r"(arrival())
                 : "memory");
  }

  __device__ static void prefetch(const SourceRows& source, std::size_t from) {
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes_of(source)) : "memory");
  }

  // Until the row has arrived that was asked for last.
  __device__ void wait() {
    asm volatile("{ .reg .pred p; w%=: mbarrier.try_wait.parity.shared.b64 p, [%0], %1; @!p bra w%=; }"
                 :
                 : "r"(arrival()), "r"(parity_)
                 : "memory");
    parity_ ^= 1;
  }

  int first_ = kept(place_of_thread());
  unsigned parity_ = 0;  // of the barrier's phase that ends when the row is there
};

}  // namespace octavo::cuda
