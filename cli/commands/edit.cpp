// Changes what a checkpoint says about its quantized layers, and nothing about what it stores.
#include "base/bytes.hpp"
#include "base/error.hpp"
#include "checkpoint/folder.hpp"
#include "commands.hpp"
#include "edit/edit_plan.hpp"
#include "edit/edited_file.hpp"
#include "edit_options.hpp"
#include "plan/output_names.hpp"
#include "progress.hpp"
#include "run/signals.hpp"
#include "session.hpp"
#include "table.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <optional>

namespace octavo::cli {
namespace {

constexpr const char* kSuffix = "_edited";

struct Edit {
  std::filesystem::path input;
  std::filesystem::path output;
  edit::EditRequest request;
  checkpoint::OutputOptions options;
  bool dry_run = false;
};

struct Outcome {
  uint64_t file_bytes = 0;
  uint64_t shared_bytes = 0;
  double seconds = 0;
};

std::pair<std::string, std::string> metadata_pair(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals != text.npos && equals > 0) return {text.substr(0, equals), text.substr(equals + 1)};
  throw Error(ErrorCode::usage,
              fmt::format("[edit] --set-metadata: '{}' is not of the form KEY=VALUE", printable(text)));
}

edit::EditRequest read_request(const Arguments& arguments) {
  edit::EditRequest request;
  for (const std::string& text : arguments.texts("remove-keys")) {
    for (std::string& key : edit::parse_keys(text)) request.change.remove.push_back(std::move(key));
  }
  for (const std::string& text : arguments.texts("add-keys"))
    request.change.add.update(edit::parse_pairs(text));
  if (const auto filter = arguments.text("quant-filter"))
    request.filter = plan::Pattern(*filter, "--quant-filter");
  request.save_quant_metadata = arguments.flag("save-quant-metadata");
  for (const std::string& text : arguments.texts("set-metadata"))
    request.set_metadata.push_back(metadata_pair(text));
  request.remove_metadata = arguments.texts("remove-metadata");
  return request;
}

std::filesystem::path only_input(const Arguments& arguments) {
  const auto& inputs = arguments.texts("input");
  if (inputs.size() == 1) return inputs.front();
  if (inputs.empty()) {
    throw Error(ErrorCode::usage, "[options] no input is given",
                "octavo edit model.safetensors --add-keys \"'full_precision_matrix_mult':true\"");
  }
  throw Error(ErrorCode::usage, "[options] several inputs are given; edit takes one");
}

checkpoint::VerifyLevel verify_level(const Arguments& arguments) {
  const std::string verify = arguments.text("verify").value_or("sampled");
  if (verify == "header") return checkpoint::VerifyLevel::header;
  return verify == "full" ? checkpoint::VerifyLevel::full : checkpoint::VerifyLevel::sampled;
}

Edit read_edit(const Arguments& arguments) {
  Edit asked;
  asked.input = only_input(arguments);
  asked.request = read_request(arguments);
  asked.options.force = arguments.flag("force");
  asked.options.verify = verify_level(arguments);
  asked.options.durable = !arguments.flag("no-fsync");
  asked.options.sink = checkpoint::SinkKind::unreserved;
  asked.options.check_stop = [] { run::StopSignals::check(); };
  asked.dry_run = arguments.has("dry-run");
  return asked;
}

// Of a sharded set; "" for one file.
std::string index_name(const std::filesystem::path& input) {
  const std::filesystem::path file = checkpoint::find_checkpoint(input);
  return checkpoint::is_index(file) ? file.filename().string() : "";
}

nlohmann::ordered_json layer_json(const edit::EditedLayer& layer) {
  return {{"name", layer.name},
          {"where", layer.has_marker ? "marker" : "header"},
          {"before", layer.before},
          {"after", layer.after},
          {"changed", layer.changes()}};
}

void print_json(const Edit& asked, const edit::EditPlan& plan, const Outcome& outcome, Terminal& terminal) {
  nlohmann::ordered_json json = {{"schema", "octavo.edit/1"},
                                 {"input", asked.input.string()},
                                 {"output", asked.output.string()},
                                 {"written", !asked.dry_run},
                                 {"changes", plan.changes()},
                                 {"layers", nlohmann::ordered_json::array()},
                                 {"metadata_changed", plan.changed_metadata},
                                 {"warnings", plan.warnings},
                                 {"file_bytes", outcome.file_bytes}};
  for (const edit::EditedLayer& layer : plan.layers) json["layers"].push_back(layer_json(layer));
  if (!asked.dry_run) {
    json["bytes_shared"] = outcome.shared_bytes;
    json["seconds"] = outcome.seconds;
  }
  terminal.print_json(json);
}

// Layers by what they say before and after, because in most files all say the same.
void print_changes(const edit::EditPlan& plan, Terminal& terminal) {
  std::map<std::pair<std::string, std::string>, std::vector<std::string>> alike;
  for (const edit::EditedLayer& layer : plan.layers) {
    if (layer.changes()) alike[{layer.before, layer.after}].push_back(layer.name);
  }
  for (const auto& [texts, names] : alike) {
    terminal.print(fmt::format("  {:>6} layer{} {} -> {}  ({}{})\n", names.size(),
                               names.size() == 1 ? " " : "s", printable(texts.first), printable(texts.second),
                               printable(names.front()), names.size() > 1 ? ", ..." : ""));
  }
  const auto unchanged = std::count_if(plan.layers.begin(), plan.layers.end(),
                                       [](const edit::EditedLayer& layer) { return !layer.changes(); });
  if (unchanged > 0) terminal.print(fmt::format("  {:>6} layers are so already\n", unchanged));
  for (const std::string& key : plan.changed_metadata)
    terminal.print(fmt::format("  metadata {}\n", printable(key)));
}

void print_summary(const Edit& asked, const edit::EditPlan& plan, const Outcome& outcome,
                   Terminal& terminal) {
  terminal.print(fmt::format("{}\n", terminal.styled(Style::bold, printable(asked.input.string()))));
  print_changes(plan, terminal);
  if (asked.dry_run) {
    terminal.print(fmt::format("  output   {} ({}), not written\n", printable(asked.output.string()),
                               format_bytes(outcome.file_bytes)));
    return;
  }
  terminal.print(fmt::format("  output   {} ({}, {} of it shared with the input, {})\n",
                             printable(asked.output.string()), format_bytes(outcome.file_bytes),
                             format_bytes(outcome.shared_bytes), format_duration(outcome.seconds)));
}

void write(const Edit& asked, edit::EditedFile& file, Outcome& outcome, ProgressReporter& progress) {
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const run::StopSignals signals;
  file.write(
      asked.output, asked.options,
      [&](const edit::CopyProgress& now) {
        run::StopSignals::check();
        progress.update({.bytes_done = now.bytes_done,
                         .bytes_total = now.bytes_total,
                         .tensor = {},
                         .seconds = seconds()});
      },
      run::StopSignals::watch);
  progress.finish();
  outcome.seconds = seconds();
  outcome.shared_bytes = file.shared_bytes();
}

std::vector<Option> options() {
  std::vector<Option> all = {
      {.name = "input",
       .letter = 'i',
       .value = "FILE",
       .help = "checkpoint: a file, an index.json, a folder"},
      {.name = "output",
       .letter = 'o',
       .value = "PATH",
       .help = "where to write (default: <stem>_edited.safetensors beside the input)"},
      {.name = "force", .letter = 'f', .help = "replace an existing output; the input is never written to"},
  };
  const std::vector<Option> markers = marker_options("Edit");
  all.insert(all.end(), markers.begin(), markers.end());
  const std::vector<Option> rest = {
      {.name = "save-quant-metadata",
       .help = "an entry in the header's _quantization_metadata for every marker",
       .group = "Edit"},
      {.name = "dry-run", .help = "say what would change, and write nothing"},
      {.name = "verify",
       .value = "LEVEL",
       .help = "what is read again before the output gets its name",
       .choices = {"header", "sampled", "full"}},
      {.name = "no-fsync",
       .help = "do not wait for the disk: the output may be lost or torn if the machine stops",
       .tail = true},
      progress_option(),
  };
  all.insert(all.end(), rest.begin(), rest.end());
  return all;
}

}  // namespace

std::vector<Option> marker_options(const std::string& group) {
  return {
      {.name = "remove-keys",
       .value = "KEY,...",
       .help = "keys that are taken out of each marker",
       .group = group,
       .repeats = true},
      {.name = "add-keys",
       .value = "PAIRS",
       .help = "keys that are set in each marker: \"'key': value, ...\", or a JSON object",
       .group = group,
       .repeats = true},
      {.name = "quant-filter",
       .value = "REGEX",
       .help = "only layers in whose name it is found",
       .group = group},
      {.name = "set-metadata",
       .value = "KEY=VALUE",
       .help = "set an entry of the file's __metadata__",
       .group = group,
       .repeats = true},
      {.name = "remove-metadata",
       .value = "KEY",
       .help = "take an entry out of the file's __metadata__",
       .group = group,
       .repeats = true},
  };
}

int edit(const Arguments& arguments, Terminal& terminal) {
  Edit asked = read_edit(arguments);
  const checkpoint::Checkpoint source = checkpoint::Checkpoint::open(asked.input);
  const std::string index = index_name(asked.input);
  asked.output = arguments.has("output") ? std::filesystem::path(*arguments.text("output"))
                                         : plan::output_beside(asked.input, kSuffix, !index.empty());
  asked.options.inputs = source.identities();
  const edit::EditPlan plan = edit::plan_edit(source, asked.request);
  for (const std::string& warning : plan.warnings) Session::note(warning);
  edit::EditedFile file(source, plan, index);
  Outcome outcome{.file_bytes = file.file_bytes()};
  if (asked.dry_run) {
    file.check(asked.output, asked.options);
  } else {
    ProgressReporter progress(progress_style(arguments, terminal), terminal);
    write(asked, file, outcome, progress);
  }
  if (arguments.flag("json")) {
    print_json(asked, plan, outcome, terminal);
  } else if (!terminal.quiet()) {
    print_summary(asked, plan, outcome, terminal);
  }
  return 0;
}

Command edit_command() {
  return {.name = "edit",
          .summary = "Change the markers and the metadata of a quantized checkpoint, never its weights",
          .examples = {{"octavo edit small.safetensors --add-keys \"'full_precision_matrix_mult':true\"",
                        "into small_edited.safetensors"},
                       {"octavo edit small.safetensors --remove-keys per_row --quant-filter 'blocks\\.0\\.'",
                        "in some layers only"},
                       {"octavo edit small.safetensors --save-quant-metadata -o with-header.safetensors",
                        "the markers in the header, too"}},
          .positional = {"input", "FILE", 0, 1},
          .options = options,
          .run = edit};
}

}  // namespace octavo::cli
