#include "run/device.hpp"

#include "base/error.hpp"
#include "base/try_to.hpp"
#include "plan/open_plugin.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <memory>

namespace octavo::run {
namespace {

struct Candidate {
  std::string id;
  plugin::Probe probe;
};

std::vector<int32_t> pick_devices(const DeviceRequest& request, const std::string& id,
                                  const plugin::Probe& probe) {
  if (request.devices.empty()) {
    return {probe.devices.empty() ? -1 : probe.devices.front().index};
  }
  for (const int32_t wanted : request.devices) {
    bool there = false;
    for (const plugin::Device& device : probe.devices) there = there || device.index == wanted;
    if (!there) {
      throw Error(ErrorCode::resources,
                  fmt::format("[device] {} has no device {}; it has {}", id, wanted, probe.devices.size()),
                  "octavo doctor lists the devices");
    }
  }
  return request.devices;
}

uint64_t least_memory(const std::vector<int32_t>& devices, const plugin::Probe& probe) {
  uint64_t least = 0;
  for (const plugin::Device& device : probe.devices) {
    const bool is_used = std::find(devices.begin(), devices.end(), device.index) != devices.end();
    if (is_used && (least == 0 || device.memory_bytes < least)) least = device.memory_bytes;
  }
  return least;
}

ChosenDevice open(const std::string& id, const plugin::Probe& probe, const DeviceRequest& request,
                  const std::vector<plugin::Setting>& set, plugin::Catalog& catalog,
                  const octavo_host* host) {
  const std::vector<int32_t> devices = pick_devices(request, id, probe);
  return {id, plan::open_plugin<plugin::Backend>(catalog, OCTAVO_KIND_BACKEND, {id, {}}, set, host).handle,
          devices, least_memory(devices, probe), ""};
}

[[noreturn]] void refuse(std::vector<std::string> reasons, const std::vector<std::string>& more) {
  reasons.insert(reasons.end(), more.begin(), more.end());
  throw Error(ErrorCode::resources,
              fmt::format("[device] no backend can work here: {}",
                          reasons.empty() ? "none was found" : fmt::format("{}", fmt::join(reasons, "; "))),
              "octavo doctor shows every plugin that was found, and what it says of this machine");
}

}  // namespace

DeviceRequest parse_device(std::string_view text) {
  DeviceRequest request;
  const size_t colon = text.find(':');
  request.backend = std::string(text.substr(0, colon));
  const auto bad = [&] {
    return Error(ErrorCode::usage, fmt::format("[device] '{}' is no device", text),
                 "it is auto, or a backend's id, or id:0 or id:0,2, each device once");
  };
  if (request.backend.empty()) throw bad();
  if (colon == std::string_view::npos) return request;
  const char* at = text.data() + colon + 1;
  const char* end = text.data() + text.size();
  while (true) {
    int32_t device = -1;
    const auto [next, error] = std::from_chars(at, end, device);
    const bool is_new =
        std::find(request.devices.begin(), request.devices.end(), device) == request.devices.end();
    if (error != std::errc() || device < 0 || !is_new) throw bad();
    request.devices.push_back(device);
    if (next == end) return request;
    if (*next != ',') throw bad();
    at = next + 1;
  }
}

ChosenDevice choose_device(const DeviceRequest& request, const std::vector<plugin::Setting>& set,
                           plugin::Catalog& catalog, const octavo_host* host) {
  if (request.backend != "auto") {
    const plugin::Probe probe = plugin::probe(catalog.open(OCTAVO_KIND_BACKEND, request.backend), host);
    if (probe.score == 0) {
      throw Error(ErrorCode::resources,
                  fmt::format("[device] {} cannot work here: {}", request.backend, probe.reason),
                  "--device auto takes what can");
    }
    return open(request.backend, probe, request, set, catalog, host);
  }
  std::vector<Candidate> able;
  std::vector<std::string> unusable, absent;
  for (const plugin::Record& record : catalog.records()) {
    if (record.kind != OCTAVO_KIND_BACKEND || !plugin::is_usable(record)) continue;
    Candidate candidate{record.id, plugin::probe(catalog.open(OCTAVO_KIND_BACKEND, record.id), host)};
    if (candidate.probe.score == 0) {
      std::vector<std::string>& left_out = candidate.probe.absent ? absent : unusable;
      left_out.push_back(fmt::format("{} is not used: {}", record.id, candidate.probe.reason));
    } else {
      able.push_back(std::move(candidate));
    }
  }
  if (able.empty()) refuse(std::move(unusable), absent);
  std::stable_sort(able.begin(), able.end(),
                   [](const Candidate& a, const Candidate& b) { return a.probe.score > b.probe.score; });
  ChosenDevice chosen = open(able[0].id, able[0].probe, request, set, catalog, host);
  chosen.note = fmt::format("{}", fmt::join(unusable, "; "));
  chosen.absent = std::move(absent);
  if (able.size() > 1) {
    chosen.fallback =
        std::make_unique<ChosenDevice>(open(able[1].id, able[1].probe, request, set, catalog, host));
  }
  return chosen;
}

void ChosenDevice::warm_up() {
  if (works_on_host()) return;
  warming = std::async(std::launch::async | std::launch::deferred, [this, devices = devices] {
    for (const int32_t device : devices) try_to([&] { backend.warm_up(device); });
  });
}

void ChosenDevice::use_fallback() {
  warming = {};  // waits for it
  const std::unique_ptr<ChosenDevice> next = std::move(fallback);
  next->note = std::move(note);
  next->absent = std::move(absent);
  *this = std::move(*next);
}

}  // namespace octavo::run
