// Is everything there that octavo needs, and does it work? What is asked first when somebody reports a
// problem.
#include "base/bytes.hpp"
#include "base/error.hpp"
#include "build.hpp"
#include "commands.hpp"
#include "machine.hpp"
#include "plan/open_plugin.hpp"
#include "plugin_report.hpp"
#include "report/self_test.hpp"
#include "session.hpp"
#include "table.hpp"

#include <octavo/abi/plugin.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>

namespace octavo::cli {
namespace {

using nlohmann::ordered_json;
using report::CheckOutcome;
using report::OperationCheck;

struct BackendCheck {
  std::string id;
  int32_t device = -1;
  std::string failure;  // "" unless no lane could be opened
  std::vector<OperationCheck> operations;

  bool ok() const {
    return failure.empty() &&
           std::none_of(operations.begin(), operations.end(), [](const OperationCheck& check) {
             return check.outcome == CheckOutcome::wrong || check.outcome == CheckOutcome::failed;
           });
  }
};

struct Diagnosis {
  std::vector<PluginReport> plugins;
  std::vector<BackendCheck> backends;
  std::vector<StalePart> parts;
  std::string folder;

  // A machine on which no backend can work is not in order.
  bool ok() const {
    return !backends.empty() && std::all_of(backends.begin(), backends.end(),
                                            [](const BackendCheck& check) { return check.ok(); });
  }
};

std::string forced_simd() {
  const char* forced = std::getenv("OCTAVO_SIMD");
  return forced == nullptr ? "" : forced;
}

// One check for each device of each backend that says it can work here.
std::vector<BackendCheck> check_backends(Session& session, const std::vector<PluginReport>& plugins) {
  std::vector<BackendCheck> checks;
  for (const PluginReport& report : plugins) {
    if (report.record.kind != OCTAVO_KIND_BACKEND || !report.probe || report.probe->score == 0) continue;
    std::vector<int32_t> devices;
    for (const plugin::Device& device : report.probe->devices) devices.push_back(device.index);
    if (devices.empty()) devices.push_back(-1);
    for (const int32_t device : devices) {
      BackendCheck check{report.record.id, device, "", {}};
      try {
        const auto opened = plan::open_plugin<plugin::Backend>(session.catalog(), OCTAVO_KIND_BACKEND,
                                                               {check.id, {}}, {}, session.services().host());
        check.operations = report::self_test(opened.handle, device, *session.services().host());
      } catch (const Error& error) {
        check.failure = error.what();
      }
      checks.push_back(std::move(check));
    }
  }
  return checks;
}

ordered_json machine_json() {
  const CpuFacts cpu = cpu_facts();
  const MemoryFacts memory = memory_facts();
  ordered_json json;
  json["cpu"] = {
      {"name", cpu.name}, {"usable", cpu.usable}, {"features", cpu.features}, {"forced_simd", forced_simd()}};
  json["memory"] = {{"total", memory.total}, {"available", memory.available}};
  if (memory.limit) json["memory"]["limit"] = *memory.limit;
  if (const auto room = room_of("/dev/shm"))
    json["shared_memory"] = {{"total", room->total}, {"free", room->free}};
  return json;
}

ordered_json document(const Diagnosis& diagnosis) {
  ordered_json json = {{"schema", "octavo.doctor/1"},
                       {"ok", diagnosis.ok()},
                       {"version", OCTAVO_VERSION},
                       {"compiler", compiler()},
                       {"boundary", fmt::format("{}.{}", OCTAVO_ABI_MAJOR, OCTAVO_ABI_MINOR)}};
  json.update(machine_json());
  json["plugins"] = ordered_json::array();
  for (const PluginReport& report : diagnosis.plugins) json["plugins"].push_back(plugin_json(report));
  json["backends"] = ordered_json::array();
  for (const BackendCheck& check : diagnosis.backends) {
    ordered_json entry = {
        {"id", check.id}, {"device", check.device}, {"ok", check.ok()}, {"failure", check.failure}};
    entry["operations"] = ordered_json::array();
    for (const OperationCheck& operation : check.operations) {
      entry["operations"].push_back({{"name", operation.operation},
                                     {"outcome", name(operation.outcome)},
                                     {"detail", operation.detail}});
    }
    json["backends"].push_back(std::move(entry));
  }
  json["stale_parts"] = ordered_json::array();
  for (const StalePart& part : diagnosis.parts) {
    json["stale_parts"].push_back(
        {{"path", part.path.string()}, {"process", part.process}, {"bytes", part.bytes}});
  }
  return json;
}

void print_machine(Terminal& terminal) {
  const CpuFacts cpu = cpu_facts();
  const MemoryFacts memory = memory_facts();
  terminal.print(fmt::format("octavo {}, built with {}, plugin boundary {}.{}\n", OCTAVO_VERSION, compiler(),
                             OCTAVO_ABI_MAJOR, OCTAVO_ABI_MINOR));
  terminal.print(fmt::format("  CPU            {}, {} usable, {}{}\n", cpu.name, cpu.usable,
                             fmt::join(cpu.features, " "),
                             forced_simd().empty() ? "" : ", OCTAVO_SIMD=" + printable(forced_simd())));
  terminal.print(fmt::format("  memory         {} of {} available{}\n", format_bytes(memory.available),
                             format_bytes(memory.total),
                             memory.limit ? ", limited to " + format_bytes(*memory.limit) : ""));
  if (const auto room = room_of("/dev/shm")) {
    terminal.print(
        fmt::format("  shared memory  {} of {} free\n", format_bytes(room->free), format_bytes(room->total)));
  }
}

void print_backend(Terminal& terminal, const BackendCheck& check) {
  const std::string device = check.device < 0 ? "" : fmt::format(":{}", check.device);
  terminal.print(fmt::format(
      "\nself-test of {}{}: {}\n", check.id, device,
      check.ok() ? terminal.styled(Style::green, "right") : terminal.styled(Style::red, "not right")));
  if (!check.failure.empty()) return terminal.print("  " + check.failure + "\n");
  Table table({{"operation"}, {""}, {""}});
  for (const OperationCheck& operation : check.operations) {
    const Style style = operation.outcome == CheckOutcome::right     ? Style::green
                        : operation.outcome == CheckOutcome::missing ? Style::dim
                                                                     : Style::red;
    table.add({operation.operation, terminal.styled(style, name(operation.outcome)), operation.detail});
  }
  terminal.print(table.text("  "));
}

void print_text(Terminal& terminal, const Diagnosis& diagnosis) {
  print_machine(terminal);
  terminal.print("\n" + plugin_table(diagnosis.plugins, terminal));
  for (const BackendCheck& check : diagnosis.backends) print_backend(terminal, check);
  if (diagnosis.backends.empty()) terminal.print("\nno backend can work here\n");
  if (diagnosis.parts.empty()) return;
  terminal.print(fmt::format("\nleft behind in {} by runs that are gone; they can be removed:\n",
                             printable(diagnosis.folder)));
  for (const StalePart& part : diagnosis.parts) {
    terminal.print(
        fmt::format("  {}  {}\n", printable(part.path.filename().string()), format_bytes(part.bytes)));
  }
}

int run(const Arguments& arguments, Terminal& terminal) {
  Session session(arguments);
  Diagnosis diagnosis;
  diagnosis.folder = arguments.text("folder").value_or(".");
  diagnosis.parts = stale_parts(diagnosis.folder);
  diagnosis.plugins = report_plugins(session, true);
  diagnosis.backends = check_backends(session, diagnosis.plugins);
  if (arguments.flag("json")) {
    terminal.print_json(document(diagnosis));
  } else {
    print_text(terminal, diagnosis);
  }
  return diagnosis.ok() ? 0 : static_cast<int>(ErrorCode::resources);
}

}  // namespace

Command doctor_command() {
  return {.name = "doctor",
          .summary =
              "Look over the machine, the plugins and what they compute; exit code 6 if a backend is wrong "
              "or none can work",
          .examples = {{"octavo doctor", "the machine, the plugins, a self-test of every backend"},
                       {"octavo doctor /models", "and temporary files that killed runs left in a folder"},
                       {"octavo doctor --json", "to attach to a report"}},
          .positional = {"folder", "[FOLDER]", 0, 1},
          .run = run};
}

}  // namespace octavo::cli
