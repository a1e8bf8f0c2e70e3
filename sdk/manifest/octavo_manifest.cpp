// octavo-manifest LIBRARY...: writes the manifest `<id>.json` beside each plugin's library.
//
// It opens the library as the host would and copies the descriptor, so that the host can list the plugin
// without opening it. Faults that every host refuses (fast-math, another id than the file's name, null
// pointers) end the build here, where the plugin's author sees them. The host checks everything again.
#include <octavo/abi/plugin.h>

#include <nlohmann/json.hpp>

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kKinds[] = {"format", "optimizer", "model", "backend"};
constexpr const char* kTypes[] = {"boolean", "integer", "number", "text", "choice"};

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what); }

// Rounding mode, flush-to-zero and denormals-are-zero of this thread.
unsigned control_word() {
#if defined(__SSE__)
  return _mm_getcsr() & ~0x3fu;
#else
  return 0;
#endif
}

const octavo_plugin& open_plugin(const fs::path& path) {
  const unsigned before = control_word();
  void* library =
      dlopen(fs::absolute(path).c_str(), RTLD_NOW | RTLD_LOCAL);  // stays open: the descriptor lives there
  if (library == nullptr) fail(dlerror());
  const auto entry = reinterpret_cast<octavo_plugin_function>(dlsym(library, OCTAVO_PLUGIN_SYMBOL));
  if (entry == nullptr) fail("it does not export " OCTAVO_PLUGIN_SYMBOL);
  const octavo_plugin* plugin = entry();
  if (control_word() != before)
    fail("loading it changes the floating-point control word: built with fast-math?");
  if (plugin == nullptr) fail(OCTAVO_PLUGIN_SYMBOL " returned a null pointer");
  if (!OCTAVO_HAS(plugin, octavo_plugin, api))
    fail("its descriptor is shorter than version 1.0 of the boundary");
  return *plugin;
}

std::string text(const char* value, const std::string& what) {
  if (value == nullptr) fail(what + " is a null pointer");
  return value;
}

template <std::size_t Size>
const char* name_of(std::uint32_t number, const char* const (&names)[Size], const std::string& what) {
  if (number < 1 || number > Size) fail(what + " is " + std::to_string(number));
  return names[number - 1];
}

std::vector<std::string> choices_of(const std::string& list) {
  std::vector<std::string> choices;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find('|', begin), list.size());
    choices.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return choices;
}

Json describe(const octavo_param& param) {
  const std::string name = text(param.name, "the name of a parameter");
  if (!std::isfinite(param.minimum) || !std::isfinite(param.maximum))
    fail("the range of parameter " + name + " is not finite");
  Json json{{"name", name},
            {"type", name_of(param.type, kTypes, "the type of parameter " + name)},
            {"default", text(param.default_value, "the default of parameter " + name)},
            {"minimum", param.minimum},
            {"maximum", param.maximum}};
  if (param.type == OCTAVO_PARAM_CHOICE)
    json["choices"] = choices_of(text(param.choices, "the choices of parameter " + name));
  json["help"] = text(param.help, "the help of parameter " + name);
  return json;
}

Json describe(const octavo_plugin& plugin, const fs::path& path) {
  const std::string id = text(plugin.id, "its id");
  if (id != path.stem()) fail("its id is '" + id + "', but the file is named '" + path.stem().string() + "'");
  Json params = Json::array();
  for (std::uint64_t i = 0; i < plugin.params_count; ++i) params.push_back(describe(plugin.params[i]));
  return {{"schema", "octavo.plugin/1"},
          {"kind", name_of(plugin.kind, kKinds, "its kind")},
          {"id", id},
          {"version", text(plugin.version, "its version")},
          {"summary", text(plugin.summary, "its summary")},
          {"links", text(plugin.links, "its links")},
          {"flags", plugin.flags},
          {"abi", {{"major", plugin.abi_major}, {"minor", plugin.abi_minor}}},
          {"library_bytes", fs::file_size(path)},
          {"params", std::move(params)}};
}

// Through a temporary file, so that nobody reads half a manifest.
void write_manifest(const fs::path& library) {
  const std::string json = describe(open_plugin(library), library).dump(2) + "\n";
  fs::path target = library;
  target.replace_extension(".json");
  fs::path part = target;
  part += "." + std::to_string(getpid()) + ".part";
  std::ofstream stream(part, std::ios::binary);
  stream << json;
  stream.close();
  if (!stream) fail("'" + part.string() + "' cannot be written");
  fs::rename(part, target);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) {
    std::fprintf(stderr,
                 "usage: octavo-manifest LIBRARY...\nwrites the manifest <id>.json beside each plugin\n");
    return 2;
  }
  for (int i = 1; i < count; ++i) {
    try {
      write_manifest(arguments[i]);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "octavo-manifest: '%s': %s\n", arguments[i], error.what());
      return 1;
    }
  }
  return 0;
}
