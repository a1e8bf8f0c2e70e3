// Lanes of the CUDA backend: slots in flight, several lanes at a time, memory, and errors.
#include "backend_under_test.hpp"
#include "reference/operations.hpp"
#include "weights.hpp"

#include <octavo/grid.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <boost/test/unit_test.hpp>

#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace octavo::test {
namespace {

constexpr std::int64_t kRows = 256, kCols = 512;

octavo_grid row_grid() {
  octavo_layer layer{};
  octavo_grid grid = int8_grid(layer, scale_level(OCTAVO_PER_ROW));
  grid.basis = OCTAVO_BASIS_CONVROT;
  grid.basis_group = 256;
  return grid;
}

// The tile's bytes as a host holds them: source, codes, scales.
struct Block {
  static constexpr std::uint64_t kSource = kRows * kCols * 2;
  static constexpr std::uint64_t kCodes = kRows * kCols;
  static constexpr std::uint64_t kAll = kSource + kCodes + kRows * 4;
};

octavo_tile tile_in(const octavo_grid& grid, std::byte* block, const octavo_lane& lane, std::uint32_t slot) {
  const auto view = [&](std::uint64_t offset, std::uint32_t dtype, std::int64_t cols) {
    octavo_tensor made = tensor_view(block + offset, dtype, {kRows, cols});
    made.memory = lane.memory;
    made.device = lane.device;
    return made;
  };
  octavo_tile tile = tile_with(grid, view(0, OCTAVO_BF16, kCols), view(Block::kSource, OCTAVO_I8, kCols),
                               view(Block::kSource + Block::kCodes, OCTAVO_F32, 1));
  tile.slot = slot;
  return tile;
}

// What the reference makes of `source`: codes, then scales.
std::vector<std::uint8_t> expected_of(HostTensor source, octavo_tile_result& result) {
  const octavo_grid grid = row_grid();
  HostTensor codes = matrix(OCTAVO_I8, kRows, kCols), scales = matrix(OCTAVO_F32, kRows, 1);
  const octavo_tile tile = tile_with(grid, source.view(), codes.view(), scales.view());
  result = {};
  result.struct_size = sizeof result;
  octavo_error error = empty_error();
  require_ok(reference::operations().quantize_nearest(nullptr, &tile, &result, &error), error);
  std::vector<std::uint8_t> all = codes.bytes;
  all.insert(all.end(), scales.bytes.begin(), scales.bytes.end());
  return all;
}

// A slot as the host uses it: one block of pinned memory, one of the device's.
struct Slot {
  const octavo_backend_api& api;
  octavo_lane& lane;
  void* host = nullptr;
  void* device = nullptr;

  Slot(const octavo_backend_api& its_api, octavo_lane& its_lane) : api(its_api), lane(its_lane) {
    octavo_error error = empty_error();
    check(api.allocate(&lane, OCTAVO_MEMORY_PINNED, Block::kAll, &host, &error), error);
    check(api.allocate(&lane, OCTAVO_MEMORY_DEVICE, Block::kAll, &device, &error), error);
  }
  ~Slot() {
    api.release(&lane, OCTAVO_MEMORY_DEVICE, device);
    api.release(&lane, OCTAVO_MEMORY_PINNED, host);
  }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  void issue(const octavo_grid& grid, const HostTensor& source, std::uint32_t slot,
             octavo_tile_result& result) {
    octavo_error error = empty_error();
    std::memset(host, 0xa5, Block::kAll);
    std::memcpy(host, source.bytes.data(), source.bytes.size());
    check(api.copy(&lane, device, OCTAVO_MEMORY_DEVICE, host, OCTAVO_MEMORY_PINNED, Block::kSource, &error),
          error);
    result = {};
    result.struct_size = sizeof result;
    const octavo_tile tile = tile_in(grid, static_cast<std::byte*>(device), lane, slot);
    check(lane.operations->quantize_nearest(&lane, &tile, &result, &error), error);
    check(api.copy(&lane, static_cast<std::byte*>(host) + Block::kSource, OCTAVO_MEMORY_PINNED,
                   static_cast<std::byte*>(device) + Block::kSource, OCTAVO_MEMORY_DEVICE,
                   Block::kAll - Block::kSource, &error),
          error);
    check(api.record(&lane, slot, &error), error);
  }
  std::vector<std::uint8_t> finish(std::uint32_t slot) {
    octavo_error error = empty_error();
    check(api.wait(&lane, slot, &error), error);
    const auto* bytes = static_cast<const std::uint8_t*>(host);
    return {bytes + Block::kSource, bytes + Block::kAll};
  }
};

// Several tiles through two slots; returns what differs from the reference's, "" for nothing.
std::string run_tiles(octavo_lane& lane, const std::vector<HostTensor>& sources,
                      const std::vector<std::vector<std::uint8_t>>& expected, int rounds) {
  const octavo_backend_api& api = BackendUnderTest::get().api();
  const octavo_grid grid = row_grid();
  Slot slots[2] = {{api, lane}, {api, lane}};
  octavo_tile_result results[2];
  std::string problems;
  const int count = rounds * static_cast<int>(sources.size());
  for (int i = 0; i < count + 2; ++i) {
    const auto slot = static_cast<std::uint32_t>(i % 2);
    if (i >= 2) {
      const auto source = static_cast<std::size_t>(i - 2) % sources.size();
      problems += difference(slots[slot].finish(slot), expected[source]);
      if (!(results[slot].signal_sum > 0.0)) problems += "no result";
    }
    if (i < count)
      slots[slot].issue(grid, sources[static_cast<std::size_t>(i) % sources.size()], slot, results[slot]);
  }
  return problems;
}

struct Tiles {
  std::vector<HostTensor> sources;
  std::vector<std::vector<std::uint8_t>> expected;
};

Tiles make_tiles() {
  Tiles tiles;
  for (const Weights kind : {Weights::gaussian, Weights::heavy_tails, Weights::ties, Weights::any_bits}) {
    tiles.sources.push_back(weights(kind, OCTAVO_BF16, kRows, kCols));
    octavo_tile_result result{};
    tiles.expected.push_back(expected_of(tiles.sources.back(), result));
  }
  return tiles;
}

// A tile in the lane's memory, and what the reference makes of its source.
struct Tile {
  HostTensor expected, expected_scales;
  octavo_tile_result found{}, wanted{};
  LaneTensor codes, scales;

  Tile(const octavo_grid& grid, HostTensor source)
      : expected(matrix(OCTAVO_I8, source.rows, source.cols)),
        expected_scales(matrix(OCTAVO_F32, source.rows, 1)),
        codes(expected),
        scales(expected_scales) {
    found.struct_size = wanted.struct_size = sizeof found;
    const octavo_tile tile = tile_with(grid, source.view(), expected.view(), expected_scales.view());
    octavo_error error = empty_error();
    require_ok(reference::operations().quantize_nearest(nullptr, &tile, &wanted, &error), error);
  }
  void issue(const octavo_grid& grid, const octavo_tensor& source) {
    const octavo_tile tile = tile_with(grid, source, codes.view(), scales.view());
    octavo_error error = empty_error();
    BackendUnderTest& backend = BackendUnderTest::get();
    require_ok(backend.operations().quantize_nearest(backend.lane(), &tile, &found, &error), error);
  }
  void check() const {
    BOOST_CHECK_EQUAL(difference(codes.bytes(), expected.bytes), "");
    BOOST_CHECK_EQUAL(difference(scales.bytes(), expected_scales.bytes), "");
    BOOST_CHECK_EQUAL(found.nonfinite_count, wanted.nonfinite_count);
  }
};

octavo_tensor lower_half_as_bf16(octavo_tensor codes) {
  codes.shape[0] /= 2;
  codes.data = static_cast<std::byte*>(codes.data) + codes.shape[0] * codes.row_stride;
  codes.dtype = OCTAVO_BF16;
  codes.shape[1] /= 2;
  codes.row_stride /= 2;
  return codes;
}

HostTensor lower_half_as_bf16(const HostTensor& codes) {
  HostTensor half = matrix(OCTAVO_BF16, codes.rows / 2, codes.cols / 2);
  std::memcpy(half.bytes.data(), codes.bytes.data() + half.bytes.size(), half.bytes.size());
  return half;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(lanes)

BOOST_AUTO_TEST_CASE(two_slots_in_flight) {
  const Tiles tiles = make_tiles();
  BOOST_CHECK_EQUAL(run_tiles(*BackendUnderTest::get().lane(), tiles.sources, tiles.expected, 3), "");
}

BOOST_AUTO_TEST_CASE(results_belong_to_their_slot) {
  BackendUnderTest& backend = BackendUnderTest::get();
  const octavo_grid grid = row_grid();
  HostTensor first = weights(Weights::gaussian, OCTAVO_BF16, kRows, kCols), second = first;
  second.row<std::uint16_t>(3)[5] = 0x7f80;  // an infinity
  Slot a(backend.api(), *backend.lane()), b(backend.api(), *backend.lane());
  octavo_tile_result of_a, of_b;
  a.issue(grid, first, 1, of_a);
  b.issue(grid, second, 2, of_b);
  b.finish(2);
  BOOST_CHECK_EQUAL(of_b.nonfinite_count, 1);
  BOOST_CHECK_EQUAL(of_b.nonfinite_first, 3 * kCols + 5);
  a.finish(1);
  BOOST_CHECK_EQUAL(of_a.nonfinite_count, 0);
  BOOST_CHECK_EQUAL(of_a.nonfinite_first, -1);
  octavo_tile_result expected{};
  expected_of(first, expected);
  BOOST_CHECK_CLOSE(of_a.error_sum, expected.error_sum, 0.1);
}

BOOST_AUTO_TEST_CASE(lanes_side_by_side) {
  BackendUnderTest& backend = BackendUnderTest::get();
  const Tiles tiles = make_tiles();
  constexpr std::uint32_t kLanes = 6;
  std::vector<std::string> problems(kLanes);
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < kLanes; ++i) {
    threads.emplace_back([&, i] {
      try {
        octavo_lane_request request{};
        request.struct_size = sizeof request;
        request.index = i + 1;
        request.count = kLanes;
        request.device = backend.lane()->device;
        request.slots = 2;
        request.slot_bytes = Block::kAll;
        octavo_lane lane{};
        lane.struct_size = sizeof lane;
        lane.host = backend.lane()->host;
        octavo_error error = empty_error();
        check(backend.api().open_lane(backend.self(), &request, &lane, &error), error);
        problems[i] = run_tiles(lane, tiles.sources, tiles.expected, 5);
        backend.api().close_lane(backend.self(), &lane);
      } catch (const std::exception& e) {
        problems[i] = e.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& problem : problems) BOOST_CHECK_EQUAL(problem, "");
}

// A launch may read before the one ahead of it has ended, but not what that one writes: its last rows of
// codes.
BOOST_AUTO_TEST_CASE(a_source_that_the_tile_before_writes) {
  const octavo_grid grid = row_grid();
  HostTensor source = weights(Weights::gaussian, OCTAVO_BF16, 4000, 12288);
  const LaneTensor lane_source(source);
  std::vector<std::unique_ptr<Tile>> tiles;
  for (int i = 0; i < 3; ++i) {
    tiles.push_back(std::make_unique<Tile>(grid, source));
    source = lower_half_as_bf16(tiles.back()->expected);
  }
  octavo_tensor from = lane_source.view();
  for (const auto& tile : tiles) {  // with nothing between them
    tile->issue(grid, from);
    from = lower_half_as_bf16(tile->codes.view());
  }
  BackendUnderTest::get().finish();
  for (const auto& tile : tiles) tile->check();
}

// Nor what the one before that writes: the last launch reads early, the few blocks of the second have found
// places at once.
BOOST_AUTO_TEST_CASE(a_source_that_the_tile_before_the_last_writes) {
  const octavo_grid grid = row_grid();
  const HostTensor many = weights(Weights::gaussian, OCTAVO_BF16, 4000, 6144),
                   few = weights(Weights::heavy_tails, OCTAVO_BF16, 40, 3072);
  const LaneTensor lane_many(many), lane_few(few);
  Tile first(grid, many), second(grid, few), third(grid, lower_half_as_bf16(first.expected));
  first.issue(grid, lane_many.view());
  second.issue(grid, lane_few.view());
  third.issue(grid, lower_half_as_bf16(first.codes.view()));
  BackendUnderTest::get().finish();
  for (const Tile* tile : {&first, &second, &third}) tile->check();
}

BOOST_AUTO_TEST_CASE(memory_that_is_not_there) {
  BackendUnderTest& backend = BackendUnderTest::get();
  octavo_error error = empty_error();
  void* data = nullptr;
  BOOST_CHECK_EQUAL(
      backend.api().allocate(backend.lane(), OCTAVO_MEMORY_DEVICE, std::uint64_t{1} << 45, &data, &error),
      OCTAVO_NO_MEMORY);
  BOOST_CHECK_NE(std::string(error.message).find("memory"), std::string::npos);
  // The lane goes on as before.
  const Tiles tiles = make_tiles();
  BOOST_CHECK_EQUAL(run_tiles(*backend.lane(), tiles.sources, tiles.expected, 1), "");
}

BOOST_AUTO_TEST_CASE(operands_in_the_wrong_memory) {
  BackendUnderTest& backend = BackendUnderTest::get();
  HostTensor source = weights(Weights::gaussian, OCTAVO_BF16, 4, 256);
  const octavo_tensor view = source.view();
  octavo_absmax_result result{};
  result.struct_size = sizeof result;
  octavo_error error = empty_error();
  BOOST_CHECK_EQUAL(backend.operations().absmax(backend.lane(), nullptr, &view, 0, &result, &error),
                    OCTAVO_BAD_ARGUMENT);
  BOOST_CHECK_NE(std::string(error.message).find("device memory is expected"), std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_is_supported) {
  BackendUnderTest& backend = BackendUnderTest::get();
  char reason[256] = {};
  octavo_grid grid = row_grid();
  const auto answer = [&](octavo_operation operation) {
    return backend.api().supports(backend.self(), operation, &grid, nullptr, 0, reason, sizeof reason);
  };
  BOOST_CHECK_EQUAL(answer(OCTAVO_OP_QUANTIZE_NEAREST), 1);
  BOOST_CHECK_EQUAL(answer(OCTAVO_OP_MATMUL), 1);
  grid.basis_group = 1024;
  BOOST_CHECK_EQUAL(answer(OCTAVO_OP_TO_BASIS), 1);
  BOOST_CHECK_EQUAL(answer(OCTAVO_OP_QUANTIZE_NEAREST), 0);
  BOOST_CHECK_NE(std::string(reason).find("256"), std::string::npos);
  grid.basis = OCTAVO_BASIS_INCOHERENT;
  BOOST_CHECK_EQUAL(answer(OCTAVO_OP_TO_BASIS), 0);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::test
