#include "plugin/descriptor.hpp"

#include "base/error.hpp"
#include "plugin/params.hpp"
#include "plugin/versions.hpp"

#include <octavo/abi/backend.h>
#include <octavo/abi/format.h>
#include <octavo/abi/model.h>
#include <octavo/abi/optimizer.h>

#include <boost/algorithm/string/split.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace octavo::plugin {
namespace {

constexpr std::size_t kMaxIdentifier = 64;
constexpr std::size_t kMaxText = 4096;
constexpr std::uint64_t kMaxParameters = 256;

[[noreturn]] void refuse(const std::string& reason) { throw Error(ErrorCode::unsupported, reason); }

// A string behind a pointer that nobody has checked: never read beyond `kMaxText`.
std::string read_text(const char* text, const std::string& what) {
  if (text == nullptr) refuse(fmt::format("{} is a null pointer, text was expected", what));
  const std::size_t length = strnlen(text, kMaxText + 1);
  if (length > kMaxText) refuse(fmt::format("{} is longer than {} bytes", what, kMaxText));
  return {text, length};
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  if (!text.empty()) boost::split(parts, text, [separator](char c) { return c == separator; });
  return parts;
}

Parameter read_parameter(const octavo_param& raw, std::uint64_t index) {
  Parameter made;
  made.name = read_text(raw.name, fmt::format("the name of parameter {}", index));
  const std::string what = fmt::format("of parameter '{}'", printable(made.name));
  if (raw.type < OCTAVO_PARAM_BOOL || raw.type > OCTAVO_PARAM_CHOICE)
    refuse(fmt::format("the type {} is {}, 1 to 5 was expected", what, raw.type));
  made.type = static_cast<octavo_param_type>(raw.type);
  made.default_value = read_text(raw.default_value, "the default " + what);
  made.minimum = raw.minimum;
  made.maximum = raw.maximum;
  if (made.type == OCTAVO_PARAM_CHOICE)
    made.choices = split(read_text(raw.choices, "the choices " + what), '|');
  made.help = read_text(raw.help, "the help " + what);
  return made;
}

void check_version(std::uint16_t major, std::uint16_t minor) {
  if (major != OCTAVO_ABI_MAJOR) {
    refuse(
        fmt::format("it was built for version {}.{} of the plugin boundary, this octavo has {}.{}: the first "
                    "numbers must be equal",
                    major, minor, OCTAVO_ABI_MAJOR, OCTAVO_ABI_MINOR));
  }
  if (minor > OCTAVO_ABI_MINOR) {
    refuse(fmt::format(
        "it was built for version {}.{} of the plugin boundary, this octavo has {}.{}: it needs a "
        "newer octavo",
        major, minor, OCTAVO_ABI_MAJOR, OCTAVO_ABI_MINOR));
  }
}

void check_range(const Parameter& parameter, const std::string& what) {
  if (parameter.type == OCTAVO_PARAM_CHOICE) {
    const auto is_empty = [](const std::string& choice) { return choice.empty(); };
    if (parameter.choices.empty() ||
        std::any_of(parameter.choices.begin(), parameter.choices.end(), is_empty))
      refuse(fmt::format("{} is a choice, but its list of choices is empty or has an empty entry", what));
  }
  if (parameter.type != OCTAVO_PARAM_INTEGER && parameter.type != OCTAVO_PARAM_NUMBER) return;
  if (!(parameter.minimum <= parameter.maximum))  // a NaN is refused too
    refuse(fmt::format("{} has the range {} to {}", what, parameter.minimum, parameter.maximum));
}

void check_parameters(const Descriptor& descriptor) {
  std::vector<std::string> names;
  for (const Parameter& parameter : descriptor.params) {
    const std::string what = fmt::format("parameter '{}'", printable(parameter.name));
    if (!is_identifier(parameter.name)) refuse(fmt::format("the name of {} is not [a-z][a-z0-9_]*", what));
    if (std::find(names.begin(), names.end(), parameter.name) != names.end())
      refuse(fmt::format("{} is declared twice", what));
    names.push_back(parameter.name);
    check_range(parameter, what);
    try {
      parse_value(parameter, parameter.default_value);
    } catch (const Error& error) {
      refuse(fmt::format("the default of {} cannot be used: {}", what, error.what()));
    }
  }
}

template <typename Api>
const Api& table(const octavo_plugin& raw, std::size_t first_size) {
  const auto* api = static_cast<const Api*>(raw.api);
  if (api == nullptr) refuse("its function table (api) is a null pointer");
  if (api->struct_size < first_size) {
    refuse(fmt::format("its function table has {} bytes, version 1.0 of the boundary has {}",
                       api->struct_size, first_size));
  }
  return *api;
}

template <typename Function>
void require(Function* function, const char* name) {
  if (function == nullptr) refuse(fmt::format("its function '{}' is a null pointer", name));
}

void require_pair(bool first, bool second, const char* names) {
  if (first != second)
    refuse(fmt::format("of its functions {} only one is there; both or none are needed", names));
}

void check_format(const octavo_format_api& api) {
  require(api.create, "create");
  require(api.destroy, "destroy");
  require(api.grid, "grid");
  require(api.entries, "entries");
  require(api.recognise, "recognise");
  require_pair(api.encode != nullptr, api.decode != nullptr, "encode and decode");
}

void check_optimizer(const octavo_optimizer_api& api) {
  require(api.create, "create");
  require(api.destroy, "destroy");
  require(api.wants, "wants");
  require(api.quantize, "quantize");
  require_pair(api.prepare_inputs != nullptr, api.release_inputs != nullptr,
               "prepare_inputs and release_inputs");
  require_pair(api.prepare != nullptr, api.release != nullptr, "prepare and release");
  read_text(api.default_format, "default_format");
}

void check_model(const octavo_model_api& api) {
  require(api.create, "create");
  require(api.destroy, "destroy");
  require(api.detect, "detect");
  require(api.classify, "classify");
}

void check_backend(const octavo_backend_api& api) {
  require(api.create, "create");
  require(api.destroy, "destroy");
  require(api.open_lane, "open_lane");
  require(api.close_lane, "close_lane");
  require(api.allocate, "allocate");
  require(api.release, "release");
  require(api.copy, "copy");
  require(api.record, "record");
  require(api.wait, "wait");
  require(api.supports, "supports");
}

void check_api(const octavo_plugin& raw) {
  switch (raw.kind) {
    case OCTAVO_KIND_FORMAT:
      return check_format(table<octavo_format_api>(raw, OCTAVO_FIRST_SIZE(octavo_format_api, recognise)));
    case OCTAVO_KIND_OPTIMIZER:
      return check_optimizer(
          table<octavo_optimizer_api>(raw, OCTAVO_FIRST_SIZE(octavo_optimizer_api, release)));
    case OCTAVO_KIND_MODEL:
      return check_model(table<octavo_model_api>(raw, OCTAVO_FIRST_SIZE(octavo_model_api, fold_target)));
    default:
      return check_backend(table<octavo_backend_api>(raw, OCTAVO_FIRST_SIZE(octavo_backend_api, supports)));
  }
}

// The head of the descriptor decides whether the rest may be looked at.
void check_head(const octavo_plugin* raw) {
  if (raw == nullptr) refuse(OCTAVO_PLUGIN_SYMBOL " returned a null pointer instead of a descriptor");
  if (!OCTAVO_HAS(raw, octavo_plugin, abi_minor))
    refuse(fmt::format("its descriptor has {} bytes and not even a version", raw->struct_size));
  check_version(raw->abi_major, raw->abi_minor);
  constexpr std::size_t kFirstSize = OCTAVO_FIRST_SIZE(octavo_plugin, api);
  if (raw->struct_size < kFirstSize) {
    refuse(fmt::format("its descriptor has {} bytes, version 1.0 of the boundary has {}", raw->struct_size,
                       kFirstSize));
  }
  if (raw->kind < OCTAVO_KIND_FORMAT || raw->kind > OCTAVO_KIND_BACKEND)
    refuse(fmt::format("its kind is {}, 1 to 4 was expected", raw->kind));
}

}  // namespace

std::string_view kind_name(octavo_kind kind) {
  switch (kind) {
    case OCTAVO_KIND_FORMAT:
      return "format";
    case OCTAVO_KIND_OPTIMIZER:
      return "optimizer";
    case OCTAVO_KIND_MODEL:
      return "model";
    case OCTAVO_KIND_BACKEND:
      return "backend";
  }
  return "?";
}

std::optional<octavo_kind> kind_from_name(std::string_view name) {
  for (const octavo_kind kind :
       {OCTAVO_KIND_FORMAT, OCTAVO_KIND_OPTIMIZER, OCTAVO_KIND_MODEL, OCTAVO_KIND_BACKEND}) {
    if (kind_name(kind) == name) return kind;
  }
  return std::nullopt;
}

std::string kind_folder(octavo_kind kind) { return std::string(kind_name(kind)) + "s"; }

std::string_view type_name(octavo_param_type type) {
  switch (type) {
    case OCTAVO_PARAM_BOOL:
      return "boolean";
    case OCTAVO_PARAM_INTEGER:
      return "integer";
    case OCTAVO_PARAM_NUMBER:
      return "number";
    case OCTAVO_PARAM_TEXT:
      return "text";
    case OCTAVO_PARAM_CHOICE:
      return "choice";
  }
  return "?";
}

std::optional<octavo_param_type> type_from_name(std::string_view name) {
  for (const octavo_param_type type : {OCTAVO_PARAM_BOOL, OCTAVO_PARAM_INTEGER, OCTAVO_PARAM_NUMBER,
                                       OCTAVO_PARAM_TEXT, OCTAVO_PARAM_CHOICE}) {
    if (type_name(type) == name) return type;
  }
  return std::nullopt;
}

bool is_identifier(std::string_view text) {
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto is_rest = [&](char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '_'; };
  return !text.empty() && text.size() <= kMaxIdentifier && is_letter(text.front()) &&
         std::all_of(text.begin(), text.end(), is_rest);
}

std::vector<Link> parse_links(const std::string& links) {
  std::vector<Link> made;
  for (const std::string& part : split(links, ',')) {
    const std::size_t equals = part.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == part.size())
      refuse(fmt::format("links is '{}', name=version was expected", printable(links)));
    made.push_back({part.substr(0, equals), part.substr(equals + 1)});
  }
  return made;
}

Descriptor read_descriptor(const octavo_plugin* raw) {
  check_head(raw);
  Descriptor made;
  made.kind = static_cast<octavo_kind>(raw->kind);
  made.flags = raw->flags;
  made.abi_major = raw->abi_major;
  made.abi_minor = raw->abi_minor;
  made.id = read_text(raw->id, "its id");
  made.version = read_text(raw->version, "its version");
  made.summary = read_text(raw->summary, "its summary");
  made.links = read_text(raw->links, "its links");
  if (raw->params_count > kMaxParameters)
    refuse(
        fmt::format("it declares {} parameters, at most {} are allowed", raw->params_count, kMaxParameters));
  if (raw->params_count > 0 && raw->params == nullptr)
    refuse(fmt::format("it declares {} parameters behind a null pointer", raw->params_count));
  for (std::uint64_t i = 0; i < raw->params_count; ++i)
    made.params.push_back(read_parameter(raw->params[i], i));
  check_api(*raw);
  return made;
}

void check_descriptor(const Descriptor& descriptor, const std::string& stem) {
  check_version(descriptor.abi_major, descriptor.abi_minor);
  if (!is_identifier(descriptor.id))
    refuse(fmt::format("its id is '{}', [a-z][a-z0-9_]* was expected", printable(descriptor.id)));
  if (descriptor.id != stem) {
    refuse(fmt::format("its id is '{}', but its file is named '{}': they must be equal", descriptor.id,
                       printable(stem)));
  }
  if (descriptor.version.empty()) refuse("its version is empty");
  if (descriptor.summary.empty()) refuse("its summary is empty");
  parse_links(descriptor.links);
  check_parameters(descriptor);
}

std::string difference(const Descriptor& manifest, const Descriptor& library) {
  const auto differs = [](std::string_view what, const auto& listed, const auto& found) {
    return fmt::format("its {} is '{}' in the manifest and '{}' in the library", what, listed, found);
  };
  if (manifest == library) return {};
  if (manifest.kind != library.kind)
    return differs("kind", kind_name(manifest.kind), kind_name(library.kind));
  if (manifest.id != library.id) return differs("id", printable(manifest.id), printable(library.id));
  if (manifest.version != library.version)
    return differs("version", printable(manifest.version), printable(library.version));
  if (manifest.links != library.links)
    return differs("links", printable(manifest.links), printable(library.links));
  if (manifest.flags != library.flags) return differs("flags", manifest.flags, library.flags);
  if (manifest.params != library.params) return "its parameters are not those of the manifest";
  return "its description is not that of the manifest";
}

}  // namespace octavo::plugin
