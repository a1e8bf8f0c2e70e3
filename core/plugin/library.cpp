// A loaded library is never closed: threads, thread-local objects and exceptions of its types may outlive
// every handle, and what it links (an OpenMP run time, LibTorch, CUDA) does not survive an unload either.
#include "plugin/library.hpp"

#include "base/error.hpp"
#include "plugin/control_word.hpp"
#include "plugin/elf.hpp"
#include "plugin/trust.hpp"

#include <boost/dll/shared_library.hpp>
#include <fmt/format.h>

#include <exception>
#include <memory>
#include <mutex>
#include <vector>

namespace octavo::plugin {
namespace {

using boost::dll::shared_library;

[[noreturn]] void refuse(const std::string& reason, const std::string& hint = {}) {
  throw Error(ErrorCode::unsupported, reason, hint);
}

// Keeps `library` open until the process ends; the list itself is never destroyed.
shared_library& keep(std::unique_ptr<shared_library> library) {
  static std::mutex mutex;
  static auto& kept = *new std::vector<std::unique_ptr<shared_library>>;
  const std::lock_guard lock(mutex);
  kept.push_back(std::move(library));
  return *kept.back();
}

shared_library& load(const std::filesystem::path& path) {
  using boost::dll::load_mode::rtld_local;
  using boost::dll::load_mode::rtld_now;
  ControlWordGuard control;
  try {
    auto library = std::make_unique<shared_library>(path, rtld_now | rtld_local);
    shared_library& kept = keep(std::move(library));
    if (control.restore()) {
      refuse(
          "loading it changed the floating-point control word: it, or what it links, was built with "
          "fast-math",
          "build it without -ffast-math and -Ofast");
    }
    return kept;
  } catch (const std::system_error& error) {
    // The loader's own sentence is in what(); the code means nothing.
    refuse(fmt::format("the system's loader refused it: {}", error.what()));
  }
}

// Whatever an entry function throws is caught; it should do no work at all.
const octavo_plugin* call_entry(octavo_plugin_function entry) {
  ControlWordGuard control;
  const octavo_plugin* raw = nullptr;
  try {
    raw = entry();
  } catch (const std::exception& error) {
    refuse(
        fmt::format("its function {} threw an exception: {}", OCTAVO_PLUGIN_SYMBOL, printable(error.what())));
  } catch (...) {
    refuse(fmt::format("its function {} threw an exception", OCTAVO_PLUGIN_SYMBOL));
  }
  if (control.restore()) {
    refuse(fmt::format("its function {} changed the floating-point control word of the process",
                       OCTAVO_PLUGIN_SYMBOL));
  }
  return raw;
}

}  // namespace

Library open_library(const std::filesystem::path& path, std::optional<octavo_kind> kind) {
  const std::filesystem::path file = std::filesystem::canonical(path);
  check_trust(file);
  check_elf(file);
  shared_library& library = load(file);
  if (!library.has(OCTAVO_PLUGIN_SYMBOL)) {
    refuse(fmt::format("it does not export {}: it is not an octavo plugin, or one for another generation",
                       OCTAVO_PLUGIN_SYMBOL));
  }
  const octavo_plugin* raw = call_entry(library.get<const octavo_plugin*()>(OCTAVO_PLUGIN_SYMBOL));
  Library made{raw, read_descriptor(raw)};
  check_descriptor(made.descriptor, path.stem().string());
  if (kind && *kind != made.descriptor.kind) {
    refuse(fmt::format("it is of kind {}, but a plugin of kind {} was expected here",
                       kind_name(made.descriptor.kind), kind_name(*kind)));
  }
  return made;
}

}  // namespace octavo::plugin
