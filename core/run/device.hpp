// Where work runs: `--device auto|ID[:i[,j]]` to an opened backend and the devices to use.
#pragma once

#include "plugin/backend.hpp"
#include "plugin/catalog.hpp"

#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::run {

struct DeviceRequest {
  std::string backend = "auto";
  std::vector<int32_t> devices;  // empty: the first one
};

// Throws Error usage for a text that is not of that form.
DeviceRequest parse_device(std::string_view text);

struct ChosenDevice {
  std::string id;
  plugin::Backend backend;
  std::vector<int32_t> devices;  // at least one
  uint64_t memory_bytes = 0;     // of the one with the least; 0: the machine's own
  std::string note;              // what a person should know about the choice; "" if nothing
  std::vector<std::string> absent =
      {};  // a sentence for each backend whose hardware this machine does not have
  // auto: the next best, which carries on where this one is lost or has no memory; else nullptr.
  std::unique_ptr<ChosenDevice> fallback = nullptr;
  std::future<void> warming = {};  // of warm_up(); waited for where it goes

  // Lanes work in host memory.
  bool works_on_host() const { return devices.front() < 0; }
  // Brings its devices up in another thread. From then on it stays where it is.
  void warm_up();
  // Becomes its fallback, which is there; what was noted stays.
  void use_fallback();
};

// auto: the highest score; those that cannot work here are named in the note, or in `absent`. Throws Error
// resources, with the reasons of all, if none can. A backend that is asked for by name and cannot work is an
// Error resources.
ChosenDevice choose_device(const DeviceRequest& request, const std::vector<plugin::Setting>& set,
                           plugin::Catalog& catalog, const octavo_host* host);

}  // namespace octavo::run
