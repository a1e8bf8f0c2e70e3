// Opens the file by the strict rules; where those refuse it, that is a finding, and what the reference reader
// still takes of it is looked at all the same.
#include "report/verify.hpp"

#include "base/bytes.hpp"
#include "base/cpus.hpp"
#include "base/error.hpp"
#include "base/words.hpp"
#include "checkpoint/reader.hpp"
#include "commands.hpp"
#include "consumers/consumers.hpp"
#include "explanations.hpp"
#include "installed_formats.hpp"
#include "plugin/severity.hpp"
#include "progress.hpp"
#include "session.hpp"
#include "table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>

namespace octavo::cli {
namespace {

using checkpoint::Checkpoint;
using nlohmann::ordered_json;

struct Verdict {
  std::optional<Checkpoint> file;  // nothing: no reader takes it
  report::Verification verification;
  std::vector<Consumer> consumers;
  size_t layers = 0;
  double seconds = 0;
};

// Everything that only the strict rules forbid is among the notes of a lenient reading: then the refusal,
// which named the first of it, says nothing more.
void add_notes(Verdict& verdict, bool lenient) {
  const auto& notes = verdict.file->notes();
  const bool explained =
      std::any_of(notes.begin(), notes.end(), [](const checkpoint::Note& note) { return note.tolerated; });
  if (explained) verdict.verification.findings.clear();
  for (const checkpoint::Note& note : notes) {
    const uint32_t severity = !note.tolerated ? plugin::kNote : lenient ? plugin::kWarning : plugin::kError;
    verdict.verification.findings.push_back(
        {severity, note.tolerated ? "container-lenient" : "container-note", "", note.text});
  }
}

// What the strict rules refuse is an error, or a warning with --lenient. A missing file and a container of
// another kind are thrown: there is nothing to verify.
void open(const std::string& path, bool lenient, Verdict& verdict) {
  try {
    verdict.file = Checkpoint::open(path, checkpoint::Strictness::strict);
  } catch (const Error& refusal) {
    if (refusal.code() != ErrorCode::bad_input) throw;
    verdict.verification.findings.push_back(
        {lenient ? plugin::kWarning : plugin::kError, "container", "", refusal.what(), refusal.hint()});
    try {
      verdict.file = Checkpoint::open(path, checkpoint::Strictness::lenient);
    } catch (const Error&) {
      verdict.verification.findings.back().severity = plugin::kError;  // no reader takes it
      return;
    }
  }
  add_notes(verdict, lenient);
}

void examine(const Arguments& arguments, Terminal& terminal, Verdict& verdict) {
  Session session(arguments);
  const auto formats = installed_formats(session);
  const stored::Survey survey = stored::survey(*verdict.file, formats);
  verdict.layers = survey.layers.size();
  ProgressReporter progress(progress_style(arguments, terminal), terminal);
  report::VerifyOptions options;
  options.threads = static_cast<unsigned>(arguments.integer("lanes", 1, 1024).value_or(usable_cpus()));
  options.read_data = !arguments.flag("header-only");
  options.progress = [&](const Progress& now) { progress.update(now); };
  report::Verification found = report::verify(*verdict.file, survey, options);
  verdict.file->verify_unchanged();
  progress.finish();
  verdict.verification.bytes_read = found.bytes_read;
  for (plugin::Finding& finding : found.findings) verdict.verification.findings.push_back(std::move(finding));
  verdict.consumers = consumers_of(read_stored_file(*verdict.file));
}

ordered_json finding_json(const plugin::Finding& finding, bool explain) {
  ordered_json json = {{"severity", plugin::severity_name(finding.severity)},
                       {"code", finding.code},
                       {"tensor", finding.tensor},
                       {"message", finding.message}};
  if (!finding.hint.empty()) json["hint"] = finding.hint;
  if (explain) json["explanation"] = explanation(finding.code);
  return json;
}

ordered_json document(const Verdict& verdict, bool explain) {
  ordered_json json = {{"schema", "octavo.verify/1"}, {"ok", verdict.verification.ok()}};
  json["files"] = ordered_json::array();
  if (verdict.file) {
    for (const auto& path : verdict.file->files()) json["files"].push_back(path.string());
    json["tensors"] = verdict.file->tensors().size();
  }
  json["layers"] = verdict.layers;
  json["bytes_read"] = verdict.verification.bytes_read;
  json["seconds"] = verdict.seconds;
  json["findings"] = ordered_json::array();
  for (const plugin::Finding& finding : verdict.verification.findings) {
    json["findings"].push_back(finding_json(finding, explain));
  }
  json["consumers"] = ordered_json::array();
  for (const Consumer& consumer : verdict.consumers) {
    json["consumers"].push_back({{"name", consumer.name},
                                 {"loads", name(consumer.loads)},
                                 {"minimum_version", consumer.minimum_version},
                                 {"reason", consumer.reason}});
  }
  return json;
}

Style style_of(uint32_t severity) {
  return severity >= plugin::kError ? Style::red : severity == plugin::kWarning ? Style::yellow : Style::cyan;
}

void print_findings(Terminal& terminal, const Verdict& verdict, bool explain) {
  std::vector<plugin::Finding> findings = verdict.verification.findings;
  std::stable_sort(findings.begin(), findings.end(),
                   [](const auto& a, const auto& b) { return a.severity > b.severity; });
  for (const plugin::Finding& finding : findings) {
    terminal.print(fmt::format(
        "{} {}: {}{}\n", terminal.styled(style_of(finding.severity), plugin::severity_name(finding.severity)),
        finding.code, finding.tensor.empty() ? "" : printable(finding.tensor) + ": ",
        printable_text(finding.message)));
    if (!finding.hint.empty()) terminal.print(fmt::format("    hint: {}\n", printable_text(finding.hint)));
    const std::string more = explain ? explanation(finding.code) : "";
    if (!more.empty()) terminal.print("    " + more + "\n");
  }
}

void print_consumers(Terminal& terminal, const Verdict& verdict) {
  if (verdict.consumers.empty()) return;
  Table table({{"loads in"}, {""}, {"from version"}, {"because"}});
  for (const Consumer& consumer : verdict.consumers) {
    const Style style = consumer.loads == Loads::no    ? Style::red
                        : consumer.loads == Loads::yes ? Style::green
                                                       : Style::yellow;
    table.add({consumer.name, terminal.styled(style, name(consumer.loads)), consumer.minimum_version,
               consumer.reason});
  }
  terminal.print(table.text() + "\n");
}

void print_text(Terminal& terminal, const Verdict& verdict, bool explain) {
  print_findings(terminal, verdict, explain);
  if (!verdict.verification.findings.empty()) terminal.print("\n");
  print_consumers(terminal, verdict);
  std::array<size_t, 3> counts{};
  for (const plugin::Finding& finding : verdict.verification.findings) {
    ++counts[std::min<uint32_t>(finding.severity, plugin::kError)];
  }
  const bool ok = verdict.verification.ok();
  terminal.print(
      fmt::format("{}: {}, {}, {}; {}; {} read in {}\n",
                  terminal.styled(ok ? Style::green : Style::red, ok ? "ok" : "not ok"),
                  plural(counts[plugin::kError], "error"), plural(counts[plugin::kWarning], "warning"),
                  plural(counts[plugin::kNote], "note"), plural(verdict.layers, "quantized layer"),
                  format_bytes(verdict.verification.bytes_read), format_duration(verdict.seconds)));
}

int run(const Arguments& arguments, Terminal& terminal) {
  const auto start = std::chrono::steady_clock::now();
  Verdict verdict;
  open(*arguments.text("checkpoint"), arguments.flag("lenient"), verdict);
  if (verdict.file) examine(arguments, terminal, verdict);
  verdict.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (arguments.flag("json")) {
    terminal.print_json(document(verdict, arguments.flag("explain")));
  } else {
    print_text(terminal, verdict, arguments.flag("explain"));
  }
  return verdict.verification.ok() ? 0 : static_cast<int>(ErrorCode::verify);
}

std::vector<Option> options() {
  return {
      {.name = "explain",
       .help = "say what each finding means, and everything that only the strict rules forbid"},
      {.name = "header-only", .help = "headers and markers, without reading the data"},
      {.name = "lenient", .help = "what only the strict rules forbid is a warning"},
      {.name = "lanes",
       .value = "N",
       .help = "threads (default: one for each CPU)",
       .environment = "OCTAVO_LANES",
       .tail = true},
      progress_option(),
  };
}

}  // namespace

Command verify_command() {
  return {
      .name = "verify",
      .summary =
          "Check a checkpoint: container, markers, scales, codes, leftovers, and which programs load it",
      .examples = {{"octavo verify model_int8.safetensors", "everything; exit code 7 if something is wrong"},
                   {"octavo verify model.safetensors --explain", "with what each finding means"},
                   {"octavo verify model.safetensors --header-only --json", "quickly, for programs"}},
      .positional = {"checkpoint", "FILE", 1, 1},
      .options = options,
      .run = run};
}

}  // namespace octavo::cli
