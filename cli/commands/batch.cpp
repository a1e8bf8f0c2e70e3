// Many conversions with the same options. The first thing is to know every input and every output, so that
// what cannot be right (an empty pattern, two inputs for one output) ends the run before anything is written;
// after that one failure does not stop the others.
#include "base/error.hpp"
#include "batch/inputs.hpp"
#include "batch/item.hpp"
#include "batch/lora_choice.hpp"
#include "batch/output_template.hpp"
#include "batch/report.hpp"
#include "batch/up_to_date.hpp"
#include "checkpoint/preflight.hpp"
#include "commands.hpp"
#include "conversion.hpp"
#include "conversion_output.hpp"
#include "conversion_run.hpp"
#include "conversion_sources.hpp"
#include "original_flags.hpp"
#include "progress.hpp"
#include "run/output.hpp"
#include "session.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <new>
#include <optional>
#include <system_error>

namespace octavo::cli {
namespace {

namespace fs = std::filesystem;

struct Batch {
  Conversion conversion;  // of every input, but for input, output and LoRAs
  std::vector<BatchItem> items;
  bool dry_run = false;
  bool fail_fast = false;
  bool skip_up_to_date = true;
};

// What every conversion names its output by.
OutputParts output_parts(const Conversion& conversion, Session& session) {
  const plan::Settings& settings = conversion.settings;
  plan::TreatmentOpener opener(settings, session.catalog(), session.services().host());
  const plan::OpenedTreatment opened = opener.open(
      {.format = settings.format, .optimizer = settings.optimizer, .block_size = settings.block_size});
  return {{}, opened.format.plugin.id, opened.optimizer.plugin.id, settings.shards.has_value()};
}

// An earlier output, or a LoRA of another model, is no model: a second run in the same folder finds them.
void leave_out(std::vector<BatchItem>& items, const std::map<fs::path, std::string>& others) {
  std::erase_if(items, [&](const BatchItem& item) {
    const auto other = others.find(resolved(item.input));
    if (other == others.end()) return false;
    Session::note(fmt::format("{} is left out: it is {}", printable(item.input.string()), other->second));
    return true;
  });
}

std::map<fs::path, std::string> outputs_and_loras(const std::vector<BatchItem>& items) {
  std::map<fs::path, std::string> others;
  for (const BatchItem& item : items) {
    const std::string of = " of " + printable(item.input.filename().string());
    if (resolved(item.output) != resolved(item.input))
      others.emplace(resolved(item.output), "the output" + of);
    for (const lora::WantedFile& lora : item.loras) others.emplace(resolved(lora.path), "a LoRA" + of);
  }
  return others;
}

void refuse_shared_outputs(const std::vector<BatchItem>& items) {
  std::map<fs::path, const BatchItem*> owners;
  for (const BatchItem& item : items) {
    const auto [owner, is_new] = owners.emplace(resolved(item.output), &item);
    if (is_new) continue;
    throw Error(
        ErrorCode::usage,
        fmt::format("[batch] {} and {} would both become {}", printable(owner->second->input.string()),
                    printable(item.input.string()), printable(item.output.string())),
        "--output with {stem} or {folder} tells them apart");
  }
}

Batch read_batch(const Arguments& arguments, Session& session) {
  const std::vector<fs::path> inputs = batch_inputs(arguments);
  Arguments one = arguments;
  one.set("input", inputs.front().string());
  Batch batch;
  batch.conversion = read_conversion(one);
  if (arguments.flag("yes"))
    batch.conversion.notes.emplace_back("--yes has no effect: octavo asks no questions");
  batch.dry_run = arguments.flag("dry-run");
  batch.fail_fast = arguments.flag("fail-fast");
  batch.skip_up_to_date = arguments.flag("skip-up-to-date", true);
  complete_conversion(batch.conversion, arguments, session);
  LoraChoice loras(batch.conversion.loras.files, arguments.text("lora-mapping"), arguments.text("lora-dir"));
  const OutputTemplate outputs(arguments.text("output").value_or(""));
  OutputParts parts = output_parts(batch.conversion, session);
  for (const fs::path& input : inputs) {
    parts.input = input;
    batch.items.push_back({.input = input, .output = outputs.path(parts), .loras = loras.of(input)});
  }
  leave_out(batch.items, outputs_and_loras(batch.items));
  refuse_shared_outputs(batch.items);
  for (const std::string& key : loras.unused())
    Session::note(fmt::format("--lora-mapping: no model goes by '{}'", printable(key)));
  return batch;
}

Conversion conversion_of(const Batch& batch, const BatchItem& item) {
  Conversion conversion = batch.conversion;
  conversion.input = item.input;
  conversion.output = item.output;
  conversion.loras.files = item.loras;
  return conversion;
}

// Throws Error usage for an output that is there and not to be replaced. `reason`: why it is out of date; ""
// if it is not.
void check_existing(const Batch& batch, const BatchItem& item, const std::string& reason) {
  if (batch.conversion.force) return;
  throw Error(ErrorCode::usage,
              fmt::format("[batch] {} exists{}", printable(item.output.string()),
                          reason.empty() ? "" : " and is out of date: " + reason),
              "--force replaces it");
}

void create_folder_of(const fs::path& output) {
  const fs::path folder = output.parent_path();
  std::error_code error;
  if (!folder.empty()) fs::create_directories(folder, error);
  if (error)
    throw Error(ErrorCode::io, fmt::format("[batch] {}: {}", printable(folder.string()), error.message()));
}

class BatchRun {
 public:
  BatchRun(Batch& batch, const Arguments& arguments, Session& session, Terminal& terminal)
      : batch_(batch), arguments_(arguments), session_(session), terminal_(terminal) {}

  void run() {
    for (BatchItem& item : batch_.items) {
      attempt(item);
      if (item.status == BatchStatus::stopped) return;
      if (item.status == BatchStatus::failed && batch_.fail_fast) return;
    }
  }

 private:
  void attempt(BatchItem& item) {
    const auto start = std::chrono::steady_clock::now();
    try {
      convert_item(item);
    } catch (const Error& error) {
      fail(item, {static_cast<int>(error.code()), error.what(), error.hint()});
    } catch (const std::bad_alloc&) {
      fail(item, {static_cast<int>(ErrorCode::resources), "[memory] there is not enough memory",
                  "--lanes with a smaller number needs less"});
    } catch (const std::exception& error) {
      fail(item, {static_cast<int>(ErrorCode::failed), error.what(), ""});
    }
    item.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  void fail(BatchItem& item, BatchFailure failure) {
    terminal_.status_line().clear();
    spdlog::error("{}: {}{}{}", printable(item.input.string()), failure.message,
                  failure.hint.empty() ? "" : "\nhint: ", failure.hint);
    const bool stopped = failure.code >= static_cast<int>(ErrorCode::stopped);
    item.status = stopped ? BatchStatus::stopped : BatchStatus::failed;
    item.failure = std::move(failure);
  }

  void convert_item(BatchItem& item) {
    const Conversion conversion = conversion_of(batch_, item);
    const checkpoint::Checkpoint source = checkpoint::Checkpoint::open(item.input);
    const ConversionSources sources(conversion, source, session_);
    const plan::Plan plan = make_plan(sources, source, session_);
    if (const auto refusal = plan::refusal_of(plan)) throw *refusal;
    const run::Output output = output_of(conversion, plan);
    item.bytes_in = source.source_bytes();
    item.file_bytes = output.file_bytes();
    item.size_exact = plan.size_exact;
    if (fs::exists(fs::symlink_status(item.output)) && !conversion.discard) {
      const std::string reason = out_of_date(item.output, plan, source);
      if (reason.empty() && batch_.skip_up_to_date) {
        item.status = BatchStatus::up_to_date;
        return;
      }
      check_existing(batch_, item, reason);
    }
    if (batch_.dry_run) {
      // A folder that is not there will be made.
      if (fs::exists(checkpoint::folder_of(item.output)))
        check_output(conversion, options_of_output(conversion, sources, source), plan, output);
      item.status = BatchStatus::planned;
      return;
    }
    if (!conversion.discard) create_folder_of(item.output);
    ProgressReporter progress(progress_style(arguments_, terminal_), terminal_);
    const Outcome outcome = convert(conversion, sources, source, session_, progress);
    item.file_bytes = outcome.file_bytes;
    item.size_exact = true;
    item.quality = total_of(outcome.report);
    item.status = BatchStatus::converted;
  }

  Batch& batch_;
  const Arguments& arguments_;
  Session& session_;
  Terminal& terminal_;
};

int run(const Arguments& arguments, Terminal& terminal) {
  Session session(arguments, arguments.size("max-ram").value_or(0));
  Batch batch = read_batch(arguments, session);
  BatchRun(batch, arguments, session, terminal).run();
  if (arguments.flag("json")) {
    print_batch_json(batch.items, batch.conversion.notes, terminal);
  } else if (!terminal.quiet()) {
    print_batch_table(batch.items, terminal);
  }
  return worst_code(batch.items);
}

std::vector<Option> own_options() {
  return {
      {.name = "input",
       .letter = 'i',
       .value = "FILE",
       .help = "checkpoints, and patterns of their names (*, ?, [...], {a,b})",
       .repeats = true,
       .many = true,
       .also = {{"--inputs"}}},
      {.name = "directory", .letter = 'd', .value = "FOLDER", .help = "the checkpoints of a folder instead"},
      {.name = "pattern", .value = "PATTERN", .help = "which files of that folder (default: *.safetensors)"},
      {.name = "output",
       .letter = 'o',
       .value = "TEMPLATE",
       .help = "a folder, or a path with {stem}, {name}, {folder}, {format}, {optimizer}",
       .also = {{"--output-template"}}},
      {.name = "lora-mapping",
       .value = "FILE",
       .help = "JSON: a model's name, or a word in it, to the LoRAs that are merged into it"},
      {.name = "lora-dir",
       .value = "FOLDER",
       .help = "where LoRAs lie; one with the model's name (and _lora) is merged into it"},
      {.name = "dry-run", .help = "say what would be done, and write nothing", .also = {{"--dry-run-batch"}}},
      {.name = "skip-up-to-date",
       .help = "leave an output alone that was made by this version from this source with these settings "
               "(default)",
       .negatable = true},
      {.name = "fail-fast", .help = "stop at the first failure; otherwise the rest goes on"},
      {.name = "yes", .letter = 'y', .help = "no effect: octavo asks no questions", .tail = true},
  };
}

std::vector<Option> options() {
  std::vector<Option> all = own_options();
  for (Option& option : conversion_options()) {
    const auto is_own = [&](const Option& own) { return own.name == option.name; };
    if (std::none_of(all.begin(), all.end(), is_own)) all.push_back(std::move(option));
  }
  all.push_back(progress_option());
  return all;
}

}  // namespace

Command batch_command() {
  return {.name = "batch",
          .summary = "Convert many checkpoints with the same options, leaving out what is up to date",
          .examples = {{"octavo batch models/*.safetensors -o small/", "each under its usual name in small/"},
                       {"octavo batch -d models -o '{folder}/{stem}-int8.safetensors' --dry-run",
                        "what would be done"},
                       {"octavo batch -d models --lora-mapping loras.json --lora-dir loras",
                        "with LoRAs merged by model"}},
          .positional = {"input", "FILE...", 0, -1},
          .options = options,
          .run = run,
          .sections = flag_sections()};
}

}  // namespace octavo::cli
