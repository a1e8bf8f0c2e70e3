#include "plugin/manifest.hpp"

#include "base/error.hpp"
#include "plugin/fault.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <fstream>

namespace octavo::plugin {
namespace {

using Json = nlohmann::json;

constexpr const char* kSchema = "octavo.plugin/1";
constexpr std::uint64_t kMaxBytes = 1 << 20;
constexpr int kMaxDepth = 8;

[[noreturn]] void refuse(const std::string& reason) {
  throw Error(ErrorCode::unsupported, reason, kRenewManifest);
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::string text(kMaxBytes + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!stream.eof() && stream.fail()) throw Error(ErrorCode::io, "its manifest cannot be read");
  text.resize(static_cast<std::size_t>(stream.gcount()));
  if (text.size() > kMaxBytes) refuse(fmt::format("its manifest is larger than {} bytes", kMaxBytes));
  return text;
}

// Parsing recurses once per level when the value is destroyed, so depth is limited while it is read.
Json parse(const std::string& text) {
  const auto limit_depth = [](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxDepth) refuse(fmt::format("its manifest nests deeper than {} levels", kMaxDepth));
    return true;
  };
  try {
    return Json::parse(text, limit_depth);
  } catch (const Json::exception& error) {
    refuse(fmt::format("its manifest is not JSON: {}", printable(error.what())));
  }
}

std::vector<std::string> choices_of(const Json& json) {
  return json.contains("choices") ? json.at("choices").get<std::vector<std::string>>()
                                  : std::vector<std::string>{};
}

Parameter parse_parameter(const Json& json) {
  Parameter made;
  made.name = json.at("name").get<std::string>();
  const auto type = type_from_name(json.at("type").get<std::string>());
  if (!type) refuse(fmt::format("its manifest gives parameter '{}' an unknown type", printable(made.name)));
  made.type = *type;
  made.default_value = json.at("default").get<std::string>();
  made.minimum = json.at("minimum").get<double>();
  made.maximum = json.at("maximum").get<double>();
  made.choices = choices_of(json);
  made.help = json.at("help").get<std::string>();
  return made;
}

Descriptor parse_descriptor(const Json& json) {
  Descriptor made;
  const auto kind = kind_from_name(json.at("kind").get<std::string>());
  if (!kind) refuse("its manifest names a kind that octavo does not know");
  made.kind = *kind;
  made.id = json.at("id").get<std::string>();
  made.version = json.at("version").get<std::string>();
  made.summary = json.at("summary").get<std::string>();
  made.links = json.at("links").get<std::string>();
  made.flags = json.at("flags").get<std::uint32_t>();
  made.abi_major = json.at("abi").at("major").get<std::uint16_t>();
  made.abi_minor = json.at("abi").at("minor").get<std::uint16_t>();
  for (const Json& parameter : json.at("params")) made.params.push_back(parse_parameter(parameter));
  return made;
}

Manifest parse_manifest(const Json& json) {
  try {
    if (json.at("schema").get<std::string>() != kSchema)
      refuse(fmt::format("its manifest is not of the schema {}", kSchema));
    return {parse_descriptor(json), json.at("library_bytes").get<std::uint64_t>()};
  } catch (const Json::exception& error) {  // a missing or wrongly typed field
    refuse(fmt::format("its manifest is incomplete: {}", printable(error.what())));
  }
}

}  // namespace

std::filesystem::path manifest_path(const std::filesystem::path& library) {
  return std::filesystem::path(library).replace_extension(".json");
}

std::optional<Manifest> read_manifest(const std::filesystem::path& library) {
  const std::filesystem::path path = manifest_path(library);
  if (!std::filesystem::exists(path)) return std::nullopt;
  if (!std::filesystem::is_regular_file(path)) refuse("its manifest is not a regular file");
  Manifest made = parse_manifest(parse(read_file(path)));
  check_descriptor(made.descriptor, library.stem().string());
  const std::uint64_t bytes = std::filesystem::file_size(library);
  if (bytes != made.library_bytes) {
    refuse(fmt::format("its manifest is stale: it describes a library of {} bytes, the library has {}",
                       made.library_bytes, bytes));
  }
  return made;
}

}  // namespace octavo::plugin
