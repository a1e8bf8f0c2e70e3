#include "run/bias_correction.hpp"

#include "reference/convert.hpp"
#include "run/row_source.hpp"
#include "run/tile_values.hpp"

#include <octavo/tensor.hpp>

#include <cstring>
#include <optional>
#include <span>

namespace octavo::run {
namespace {

void on_host(const TileValues& values, const std::vector<float>& mean, std::span<float> delta) {
  for (size_t r = 0; r < delta.size(); ++r) {
    const auto* source = octavo::row_of<const float>(values.source(), static_cast<int64_t>(r));
    const auto* stored = octavo::row_of<const float>(values.stored(), static_cast<int64_t>(r));
    double sum = 0;
    for (size_t c = 0; c < mean.size(); ++c) sum += (double{source[c]} - double{stored[c]}) * double{mean[c]};
    delta[r] = static_cast<float>(sum);
  }
}

// [mean; -mean] and the result of a band lie in the lane's memory: y = W m, then y += What (-m).
class LaneProducts {
 public:
  LaneProducts(plugin::Lane& lane, const std::vector<float>& mean, int64_t most_rows)
      : lane_(lane), cols_(static_cast<int64_t>(mean.size())), most_rows_(most_rows) {
    staging_ = lane.allocate(OCTAVO_MEMORY_PINNED, bytes());
    memory_ = lane.allocate(OCTAVO_MEMORY_DEVICE, bytes());
    auto* values = static_cast<float*>(staging_.data());
    for (size_t c = 0; c < mean.size(); ++c) {
      values[c] = mean[c];
      values[padded() + c] = -mean[c];
    }
    lane.copy(memory_.data(), OCTAVO_MEMORY_DEVICE, staging_.data(), OCTAVO_MEMORY_PINNED,
              2 * padded() * sizeof(float));
  }

  void run(const TileValues& values, uint32_t slot, std::span<float> delta) {
    const auto rows = static_cast<int64_t>(delta.size());
    multiply(values.source(), view(0, cols_), view(2 * padded(), rows), 0);
    multiply(values.stored(), view(padded(), cols_), view(2 * padded(), rows), 1);
    auto* result = static_cast<float*>(staging_.data()) + 2 * padded();
    lane_.copy(result, OCTAVO_MEMORY_PINNED, static_cast<float*>(memory_.data()) + 2 * padded(),
               OCTAVO_MEMORY_DEVICE, delta.size_bytes());
    lane_.record(slot);
    lane_.wait(slot);
    std::memcpy(delta.data(), result, delta.size_bytes());
  }

 private:
  size_t padded() const { return (static_cast<size_t>(cols_) + 15) & ~size_t{15}; }
  uint64_t bytes() const { return (2 * padded() + static_cast<size_t>(most_rows_)) * sizeof(float); }

  octavo_tensor view(size_t offset, int64_t rows) const {
    octavo_tensor made =
        octavo::tensor_view(static_cast<float*>(memory_.data()) + offset, OCTAVO_F32, {rows, 1});
    made.memory = lane_.raw().memory;
    made.device = lane_.raw().device;
    return made;
  }

  void multiply(const octavo_tensor& a, const octavo_tensor& b, const octavo_tensor& c, uint32_t accumulate) {
    octavo_matmul product{};
    product.struct_size = sizeof product;
    product.accumulate = accumulate;
    product.precision = OCTAVO_PRECISION_F32;
    product.a = a;
    product.b = b;
    product.c = c;
    lane_.run("matmul", [&](const octavo_operations& operations, octavo_lane* raw, octavo_error* error) {
      return operations.matmul(raw, &product, error);
    });
  }

  plugin::Lane& lane_;
  int64_t cols_;
  int64_t most_rows_;
  plugin::LaneMemory staging_;
  plugin::LaneMemory memory_;
};

}  // namespace

std::vector<float> bias_correction(plugin::Lane& lane, const octavo_tile& tile,
                                   const std::vector<float>& mean) {
  const std::vector<octavo_tile> bands = bands_of(tile);
  std::vector<float> delta(static_cast<size_t>(tile.source.shape[0]));
  std::optional<LaneProducts> products;
  if (!lane.on_host()) products.emplace(lane, mean, bands.front().source.shape[0]);
  for (const octavo_tile& band : bands) {
    const auto part = std::span(delta).subspan(static_cast<size_t>(band.row_begin - tile.row_begin),
                                               static_cast<size_t>(band.source.shape[0]));
    const TileValues values(lane, band);
    if (products) {
      products->run(values, tile.slot, part);
    } else {
      lane.record(tile.slot);
      lane.wait(tile.slot);
      on_host(values, mean, part);
    }
  }
  return delta;
}

std::vector<std::byte> corrected_bias(const checkpoint::Checkpoint& source, const plan::PlannedBias& bias,
                                      int64_t row_begin, const std::vector<float>& delta) {
  const auto rows = static_cast<int64_t>(delta.size());
  std::vector<float> values(delta.size());
  octavo_tensor view = octavo::tensor_view(values.data(), OCTAVO_F32, {rows, 1});
  make_rows_on_host(source, bias.origin, {row_begin, rows, 1}, view);
  const uint32_t dtype = bias.origin.tensor->info.dtype;
  std::vector<std::byte> bytes(delta.size() * octavo::bytes_of(dtype));
  for (size_t i = 0; i < delta.size(); ++i)
    reference::store(values[i] + delta[i], dtype, bytes.data(), static_cast<int64_t>(i));
  return bytes;
}

}  // namespace octavo::run
