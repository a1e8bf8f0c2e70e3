#include "report/band_lane.hpp"

#include <octavo/tensor.hpp>

#include <algorithm>
#include <utility>

namespace octavo::report {

BandLane::BandLane(plugin::Lane lane) : lane_(std::move(lane)) {}

BandLane::BandLane(const octavo_host& host) {
  reference_.struct_size = sizeof reference_;
  reference_.memory = OCTAVO_MEMORY_HOST;
  reference_.device = -1;
  reference_.operations = host.reference;
  reference_.host = &host;
}

void BandLane::finish() {
  if (!lane_) return;
  lane_->record(0);
  lane_->wait(0);
}

uint64_t view_bytes(const octavo_tensor& view) {
  uint64_t elements = 1;
  for (uint32_t i = 0; i < view.rank; ++i) elements *= static_cast<uint64_t>(view.shape[i]);
  return elements * static_cast<uint64_t>(bits_of(view.dtype)) / 8;
}

void* LaneBuffer::memory(BandLane& lane, uint64_t bytes) {
  plugin::Lane* backend = lane.backend_lane();
  if (backend == nullptr) {
    if (plain_.size() < bytes) plain_.resize(bytes);
    return plain_.data();
  }
  if (memory_.data() == nullptr || memory_.bytes() < bytes) {
    memory_ = {};
    const auto where = lane.on_host() ? OCTAVO_MEMORY_HOST : OCTAVO_MEMORY_DEVICE;
    memory_ = backend->allocate(where, std::max<uint64_t>(bytes, 64));
  }
  return memory_.data();
}

octavo_tensor LaneBuffer::reserve(BandLane& lane, const octavo_tensor& host) {
  octavo_tensor view = host;
  view.data = memory(lane, view_bytes(host));
  view.memory = lane.raw().memory;
  view.device = lane.on_host() ? -1 : lane.raw().device;
  return view;
}

octavo_tensor LaneBuffer::upload(BandLane& lane, const octavo_tensor& host) {
  if (lane.on_host() || host.data == nullptr) return host;
  const octavo_tensor view = reserve(lane, host);
  lane.backend_lane()->copy(view.data, OCTAVO_MEMORY_DEVICE, host.data, OCTAVO_MEMORY_HOST, view_bytes(host));
  return view;
}

}  // namespace octavo::report
