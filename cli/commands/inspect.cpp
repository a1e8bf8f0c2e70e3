// What a checkpoint holds, from its header and markers alone: no tensor data is read.
#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/words.hpp"
#include "checkpoint/dtypes.hpp"
#include "checkpoint/reader.hpp"
#include "commands.hpp"
#include "installed_formats.hpp"
#include "parts.hpp"
#include "plugin/severity.hpp"
#include "session.hpp"
#include "stored/survey.hpp"
#include "table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace octavo::cli {
namespace {

using checkpoint::Checkpoint;
using checkpoint::TensorRef;
using nlohmann::ordered_json;

struct Share {
  size_t tensors = 0;
  uint64_t bytes = 0;
};

std::map<octavo_dtype, Share> by_dtype(const Checkpoint& file) {
  std::map<octavo_dtype, Share> shares;
  for (const TensorRef& tensor : file.tensors()) {
    Share& share = shares[tensor.info.dtype];
    ++share.tensors;
    share.bytes += tensor.info.bytes();
  }
  return shares;
}

std::map<std::string, Share> by_format(const stored::Survey& survey) {
  std::map<std::string, Share> shares;
  for (const stored::Layer& layer : survey.layers) {
    Share& share = shares[layer.format->id()];
    ++share.tensors;
    share.bytes += layer.bytes();
  }
  return shares;
}

std::vector<const TensorRef*> largest_first(const Checkpoint& file) {
  std::vector<const TensorRef*> tensors;
  for (const TensorRef& tensor : file.tensors()) tensors.push_back(&tensor);
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const TensorRef* a, const TensorRef* b) { return a->info.bytes() > b->info.bytes(); });
  return tensors;
}

ordered_json tensor_json(const Checkpoint& file, const TensorRef& tensor) {
  ordered_json json = {{"name", tensor.info.name},
                       {"dtype", checkpoint::name(tensor.info.dtype)},
                       {"shape", tensor.info.shape},
                       {"bytes", tensor.info.bytes()},
                       {"data_offsets", {tensor.info.begin, tensor.info.end}}};
  if (file.files().size() > 1) json["file"] = file.files()[tensor.file].filename().string();
  return json;
}

ordered_json layer_json(const stored::Layer& layer) {
  ordered_json json = {{"name", layer.name},
                       {"format", layer.format->id()},
                       {"shape", {layer.rows, layer.cols}},
                       {"bytes", layer.bytes()}};
  if (layer.grid.basis == OCTAVO_BASIS_CONVROT) json["convrot_group"] = layer.grid.basis_group;
  json["tensors"] = ordered_json::array();
  for (const stored::Entry& entry : layer.entries) json["tensors"].push_back(entry.tensor->info.name);
  return json;
}

// Of each file, in the order of Checkpoint::files().
std::vector<std::string> sha256_of(const Checkpoint& file) {
  std::vector<std::string> sums;
  for (const auto& path : file.files()) sums.push_back(sha256_hex_of_file(path));
  return sums;
}

ordered_json document(const Checkpoint& file, const stored::Survey& survey, bool with_sha256) {
  ordered_json json = {{"schema", "octavo.inspect/1"}};
  for (const auto& path : file.files()) json["files"].push_back(path.string());
  if (with_sha256) json["sha256"] = sha256_of(file);
  json["bytes"] = file.source_bytes();
  json["header_hash"] = file.header_hash();
  json["metadata"] = file.metadata();
  json["notes"] = nlohmann::ordered_json::array();
  for (const checkpoint::Note& note : file.notes()) json["notes"].push_back(note.text);
  json["dtypes"] = ordered_json::array();
  for (const auto& [dtype, share] : by_dtype(file)) {
    json["dtypes"].push_back(
        {{"dtype", checkpoint::name(dtype)}, {"tensors", share.tensors}, {"bytes", share.bytes}});
  }
  json["parts"] = ordered_json::array();
  for (const Part& part : parts_of(file)) {
    json["parts"].push_back({{"prefix", part.prefix}, {"tensors", part.tensors}, {"bytes", part.bytes}});
  }
  json["layers"] = ordered_json::array();
  for (const stored::Layer& layer : survey.layers) json["layers"].push_back(layer_json(layer));
  json["tensors"] = ordered_json::array();
  for (const TensorRef& tensor : file.tensors()) json["tensors"].push_back(tensor_json(file, tensor));
  return json;
}

std::string percent(uint64_t part, uint64_t whole) {
  if (whole == 0) return "";
  return fmt::format("{:.1f} %", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

void print_shares(Terminal& terminal, const std::string& heading, const std::string& counted,
                  const std::vector<std::pair<std::string, Share>>& shares) {
  uint64_t bytes = 0;
  for (const auto& [name, share] : shares) bytes += share.bytes;
  Table table({{heading},
               {counted, Table::Align::right},
               {"size", Table::Align::right},
               {"share", Table::Align::right}});
  for (const auto& [name, share] : shares) {
    table.add({printable(name), fmt::format("{}", share.tensors), format_bytes(share.bytes),
               percent(share.bytes, bytes)});
  }
  terminal.print("\n" + table.text());
}

void print_head(Terminal& terminal, const Checkpoint& file) {
  const auto files = file.files();
  const std::string first = printable(files.front().filename().string());
  terminal.print(fmt::format("{}{}  {}, {}\n", terminal.styled(Style::bold, first),
                             files.size() > 1 ? fmt::format(" and {} more", files.size() - 1) : "",
                             format_bytes(file.source_bytes()), plural(file.tensors().size(), "tensor")));
  for (const checkpoint::Note& note : file.notes()) terminal.print("  note: " + note.text + "\n");
}

// As sha256sum prints it.
void print_sha256(Terminal& terminal, const Checkpoint& file) {
  const std::vector<std::string> sums = sha256_of(file);
  for (size_t i = 0; i < sums.size(); ++i)
    terminal.print(fmt::format("{}  {}\n", sums[i], printable(file.files()[i].string())));
}

void print_metadata(Terminal& terminal, const Checkpoint& file) {
  if (file.metadata().empty()) return;
  Table table({{"metadata"}, {""}});
  for (const auto& [key, value] : file.metadata()) {
    const size_t shown = 80;
    table.add({printable(key), value.size() <= shown ? printable(value)
                                                     : printable(value.substr(0, shown)) +
                                                           fmt::format("... ({} bytes)", value.size())});
  }
  terminal.print("\n" + table.text());
}

void print_tensors(Terminal& terminal, const std::string& heading,
                   const std::vector<const TensorRef*>& tensors) {
  if (tensors.empty()) return;
  Table table({{heading}, {"dtype"}, {"shape"}, {"size", Table::Align::right}});
  for (const TensorRef* tensor : tensors) {
    table.add({printable(tensor->info.name), checkpoint::name(tensor->info.dtype),
               shape_text(tensor->info.shape), format_bytes(tensor->info.bytes())});
  }
  terminal.print("\n" + table.text());
}

void print_text(Terminal& terminal, const Checkpoint& file, const stored::Survey& survey,
                const Arguments& arguments) {
  print_head(terminal, file);
  if (arguments.flag("sha256")) print_sha256(terminal, file);
  std::vector<std::pair<std::string, Share>> shares;
  for (const auto& [dtype, share] : by_dtype(file)) shares.emplace_back(checkpoint::name(dtype), share);
  print_shares(terminal, "dtype", "tensors", shares);
  shares.clear();
  for (const Part& part : parts_of(file)) {
    shares.emplace_back(part.prefix.empty() ? "(others)" : part.prefix, Share{part.tensors, part.bytes});
  }
  print_shares(terminal, "part", "tensors", shares);
  const auto formats = by_format(survey);
  shares.assign(formats.begin(), formats.end());
  if (!shares.empty()) print_shares(terminal, "quantized as", "layers", shares);
  print_metadata(terminal, file);
  std::vector<const TensorRef*> tensors = largest_first(file);
  if (arguments.flag("tensors")) {
    std::sort(tensors.begin(), tensors.end());  // by name, as in the checkpoint
    return print_tensors(terminal, "tensor", tensors);
  }
  const auto shown = static_cast<size_t>(arguments.integer("largest", 0, 1'000'000).value_or(10));
  if (tensors.size() > shown) tensors.resize(shown);
  print_tensors(terminal, "largest tensors", tensors);
}

int run(const Arguments& arguments, Terminal& terminal) {
  const auto strictness =
      arguments.flag("lenient") ? checkpoint::Strictness::lenient : checkpoint::Strictness::strict;
  const Checkpoint file = Checkpoint::open(*arguments.text("checkpoint"), strictness);
  Session session(arguments);
  const auto formats = installed_formats(session);
  const stored::Survey survey = stored::survey(file, formats);
  if (arguments.flag("json")) {
    terminal.print_json(document(file, survey, arguments.flag("sha256")));
  } else {
    print_text(terminal, file, survey, arguments);
  }
  return 0;
}

std::vector<Option> options() {
  return {
      {.name = "tensors", .help = "list every tensor, by name"},
      {.name = "largest", .value = "N", .help = "how many of the largest tensors to list (10)"},
      {.name = "sha256", .help = "SHA-256 of each file, which reads all of it"},
      {.name = "lenient", .help = "take headers that only the reference reader takes", .tail = true},
  };
}

}  // namespace

Command inspect_command() {
  return {.name = "inspect",
          .summary = "Show what a checkpoint holds: dtypes, parts, quantized layers, metadata, tensors",
          .examples = {{"octavo inspect model.safetensors", "an overview"},
                       {"octavo inspect model.safetensors --tensors", "and every tensor"},
                       {"octavo inspect model.safetensors.index.json --json", "all of it, for programs"}},
          .positional = {"checkpoint", "FILE", 1, 1},
          .options = options,
          .run = run};
}

}  // namespace octavo::cli
