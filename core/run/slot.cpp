#include "run/slot.hpp"

#include "stored/band_lane.hpp"

#include <octavo/tensor.hpp>

#include <algorithm>

namespace octavo::run {
namespace {

constexpr uint64_t kPage = 4096;

}  // namespace

Slot::Slot(plugin::Lane& lane, uint32_t number, uint64_t bytes)
    : lane_(lane), number_(number), usual_bytes_(std::max(bytes, 2 * kPage)) {
  grow_host(usual_bytes_);
}

std::span<std::byte> Slot::buffer(uint64_t bytes) {
  if (bytes > host_.bytes()) grow_host(std::max(bytes, usual_bytes_));
  return {host_data(), static_cast<size_t>(host_.bytes())};
}

std::span<std::byte> Slot::host(uint64_t bytes) {
  hold_on_device(bytes);
  return buffer(bytes);
}

void Slot::hold(uint64_t bytes) {
  buffer(lane_.on_host() ? bytes : usual_bytes_);  // which an allocation that failed may have taken
  hold_on_device(bytes);
}

void Slot::hold_on_device(uint64_t bytes) {
  if (lane_.on_host() || bytes <= device_.bytes()) return;
  device_ = {};  // before the larger one is asked for
  device_ = lane_.allocate(OCTAVO_MEMORY_DEVICE, std::max(bytes, usual_bytes_));
}

void Slot::shrink() {
  if (device_.bytes() != usual_bytes_) device_ = {};
  if (host_.bytes() != usual_bytes_) grow_host(usual_bytes_);
}

octavo_tile Slot::tile(const plan::PlannedLayer& layer, int64_t row_begin, int64_t rows) {
  const octavo_grid& grid = layer.grid;
  const plan::TileOffsets at = plan::tile_offsets(layer, rows);
  octavo_tile tile = stored::tile_of(layer.layer, grid, row_begin, plan::coded_rows(layer, rows), grid.cols);
  const auto place = [&](octavo_tensor& part, uint64_t offset) {
    if (part.rank != 0) part = view(offset, part.dtype, part.shape[0], part.shape[1]);
  };
  tile.source = view(0, layer.layer.dtype, rows, layer.layer.cols);
  place(tile.codes, at.codes);
  for (uint32_t level = 0; level < grid.scale_levels; ++level) place(tile.scales[level], at.scales[level]);
  place(tile.zero_points, at.zero_points);
  tile.slot = number_;
  return tile;
}

octavo_tensor Slot::view(uint64_t offset, uint32_t dtype, int64_t rows, int64_t cols) const {
  octavo_tensor made = octavo::tensor_view(work_data() + offset, dtype, {rows, cols});
  made.memory = lane_.raw().memory;
  made.device = lane_.raw().device;
  return made;
}

void Slot::copy_in(uint64_t begin, uint64_t end) {
  if (lane_.on_host()) return;
  lane_.copy(static_cast<std::byte*>(device_.data()) + begin, OCTAVO_MEMORY_DEVICE, host_data() + begin,
             OCTAVO_MEMORY_PINNED, end - begin);
}

void Slot::copy_out(uint64_t begin, uint64_t end) {
  if (lane_.on_host()) return;
  lane_.copy(host_data() + begin, OCTAVO_MEMORY_PINNED, static_cast<std::byte*>(device_.data()) + begin,
             OCTAVO_MEMORY_DEVICE, end - begin);
}

void Slot::fill(uint64_t bytes, const Read& read) {
  if (!streams()) {
    read(0, host(bytes).first(bytes));
    copy_in(bytes);
    return;
  }
  uint64_t number = 0;
  for (uint64_t begin = 0; begin < bytes; ++number) {
    const std::span<std::byte> target = piece(number, bytes - begin);
    read(begin, target);                  // while the piece before it is on its way
    if (number > 0) lane_.wait(number_);  // for that one, whose place comes next
    lane_.copy(work_data() + begin, OCTAVO_MEMORY_DEVICE, target.data(), OCTAVO_MEMORY_PINNED, target.size());
    lane_.record(number_);
    begin += target.size();
  }
}

void Slot::take_out(uint64_t begin, uint64_t bytes, const Write& write) {
  if (!streams()) return write(0, {host_data() + begin, bytes});
  const auto start = [&](uint64_t done, uint64_t number) {
    const std::span<std::byte> target = piece(number, bytes - done);
    lane_.copy(target.data(), OCTAVO_MEMORY_PINNED, work_data() + begin + done, OCTAVO_MEMORY_DEVICE,
               target.size());
    lane_.record(number_);
    return target;
  };
  uint64_t number = 0;
  std::span<std::byte> here = start(0, number);
  for (uint64_t done = 0; done < bytes;) {
    lane_.wait(number_);
    const std::span<std::byte> ready = here;
    const uint64_t next = done + ready.size();
    if (next < bytes) here = start(next, ++number);
    write(done, ready);  // while the piece behind it is on its way
    done = next;
  }
}

void Slot::bring_out(uint64_t begin, uint64_t end) {
  grow_host(device_.bytes());
  copy_out(begin, end);
  lane_.record(number_);
  lane_.wait(number_);
}

// Two halves of the host's block take turns, in whole pages.
std::span<std::byte> Slot::piece(uint64_t number, uint64_t bytes) const {
  const uint64_t half = host_.bytes() / 2 / kPage * kPage;
  return {host_data() + number % 2 * half, std::min(half, bytes)};
}

void Slot::grow_host(uint64_t bytes) {
  host_ = {};
  host_ = lane_.allocate(lane_.on_host() ? OCTAVO_MEMORY_HOST : OCTAVO_MEMORY_PINNED, bytes);
}

}  // namespace octavo::run
