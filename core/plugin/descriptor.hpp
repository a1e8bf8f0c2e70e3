// What a plugin says about itself, as values: from its library's descriptor or from the manifest beside it.
//
// Both sources pass the same checks, so that a plugin that is listed from its manifest is not refused for its
// descriptor later, unless the two disagree.
#pragma once

#include <octavo/abi/plugin.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::plugin {

// One parameter as declared. `choices` is empty unless the type is CHOICE.
struct Parameter {
  std::string name;
  octavo_param_type type = OCTAVO_PARAM_TEXT;
  std::string default_value;
  double minimum = 0;
  double maximum = 0;
  std::vector<std::string> choices;
  std::string help;
  bool operator==(const Parameter&) const = default;
};

struct Descriptor {
  octavo_kind kind = OCTAVO_KIND_FORMAT;
  std::string id;
  std::string version;
  std::string summary;
  std::string links;  // "" or "name=version", several with commas
  std::uint32_t flags = 0;
  std::uint16_t abi_major = 0;
  std::uint16_t abi_minor = 0;
  std::vector<Parameter> params;
  bool operator==(const Descriptor&) const = default;
};

// One library that a plugin links and that a process can hold one build of.
struct Link {
  std::string library;
  std::string version;
};

// "format", "optimizer", "model", "backend"; and back; and "formats", the folder's name.
std::string_view kind_name(octavo_kind kind);
std::optional<octavo_kind> kind_from_name(std::string_view name);
std::string kind_folder(octavo_kind kind);
// "boolean", "integer", "number", "text", "choice"; and back.
std::string_view type_name(octavo_param_type type);
std::optional<octavo_param_type> type_from_name(std::string_view name);

// [a-z][a-z0-9_]*, at most 64 bytes: ids and names of parameters.
bool is_identifier(std::string_view text);

// The parts of `links`. Throws Error unsupported where the text is not a list of name=version.
std::vector<Link> parse_links(const std::string& links);

// Copies the descriptor behind `raw`, looking at nothing that its struct_size does not cover, then checks
// every field and the function table (`api`) of its kind. Throws Error unsupported with the reason.
Descriptor read_descriptor(const octavo_plugin* raw);

// The checks on values: version of the boundary, kind, id (which must equal `stem`), version, summary, links,
// parameters with their defaults. Throws Error unsupported with the reason.
void check_descriptor(const Descriptor& descriptor, const std::string& stem);

// How two descriptions of one plugin differ, as "version is '1' in the manifest, '2' in the library"; "" if
// they do not.
std::string difference(const Descriptor& manifest, const Descriptor& library);

}  // namespace octavo::plugin
