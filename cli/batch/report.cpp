#include "batch/report.hpp"

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/words.hpp"
#include "table.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace octavo::cli {
namespace {

const char* name(BatchStatus status) {
  switch (status) {
    case BatchStatus::planned:
      return "planned";
    case BatchStatus::converted:
      return "converted";
    case BatchStatus::up_to_date:
      return "up_to_date";
    case BatchStatus::failed:
      return "failed";
    case BatchStatus::stopped:
      return "stopped";
    default:
      return "not_started";
  }
}

size_t count(const std::vector<BatchItem>& items, BatchStatus status) {
  return static_cast<size_t>(std::count_if(items.begin(), items.end(),
                                           [&](const BatchItem& item) { return item.status == status; }));
}

constexpr std::array kAllStatuses = {BatchStatus::converted, BatchStatus::planned, BatchStatus::up_to_date,
                                     BatchStatus::failed,    BatchStatus::stopped, BatchStatus::not_started};

nlohmann::ordered_json item_json(const BatchItem& item) {
  nlohmann::ordered_json json = {{"input", item.input.string()},
                                 {"output", item.output.string()},
                                 {"status", name(item.status)},
                                 {"loras", nlohmann::ordered_json::array()}};
  for (const lora::WantedFile& lora : item.loras)
    json["loras"].push_back({{"path", lora.path.string()}, {"strength", lora.strength}});
  if (item.file_bytes != 0) {
    json["bytes_in"] = item.bytes_in;
    json["file_bytes"] = item.file_bytes;
    json["size_exact"] = item.size_exact;
  }
  if (item.quality) add_sqnr(json, item.quality->error, item.quality->signal);
  if (item.status != BatchStatus::not_started) json["seconds"] = item.seconds;
  if (item.failure) {
    json["error"] = {
        {"code", item.failure->code}, {"message", item.failure->message}, {"hint", item.failure->hint}};
  }
  return json;
}

std::string words(BatchStatus status) {
  std::string text = name(status);
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

std::string result_text(const BatchItem& item) {
  const std::string text = words(item.status);
  return item.failure ? fmt::format("{} ({})", text, item.failure->code) : text;
}

std::string lora_text(const BatchItem& item) {
  std::vector<std::string> names;
  for (const lora::WantedFile& lora : item.loras) names.push_back(printable(lora.path.filename().string()));
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

int worst_code(const std::vector<BatchItem>& items) {
  int worst = 0;
  for (const BatchItem& item : items) {
    if (item.failure) worst = std::max(worst, item.failure->code);
  }
  return worst;
}

void print_batch_json(const std::vector<BatchItem>& items, const std::vector<std::string>& warnings,
                      Terminal& terminal) {
  nlohmann::ordered_json json = {{"schema", "octavo.batch/1"},
                                 {"exit_code", worst_code(items)},
                                 {"warnings", warnings},
                                 {"items", nlohmann::ordered_json::array()}};
  for (const BatchStatus status : kAllStatuses) json[name(status)] = count(items, status);
  for (const BatchItem& item : items) json["items"].push_back(item_json(item));
  terminal.print_json(json);
}

void print_batch_table(const std::vector<BatchItem>& items, Terminal& terminal) {
  const bool any_lora =
      std::any_of(items.begin(), items.end(), [](const BatchItem& item) { return !item.loras.empty(); });
  std::vector<Table::Column> columns = {{"input"},
                                        {"result"},
                                        {"size", Table::Align::right},
                                        {"stored", Table::Align::right},
                                        {"SQNR", Table::Align::right},
                                        {"time", Table::Align::right}};
  if (any_lora) columns.push_back({"LoRAs"});
  columns.push_back({"output"});
  Table table(std::move(columns));
  for (const BatchItem& item : items) {
    const bool planned = item.file_bytes != 0;
    const bool ran = item.status == BatchStatus::converted;
    std::vector<std::string> cells = {
        printable(item.input.string()),
        result_text(item),
        planned ? format_bytes(item.bytes_in) : "",
        planned ? fmt::format("{}{}", item.size_exact ? "" : ">= ", format_bytes(item.file_bytes)) : "",
        item.quality ? decibel_text(item.quality->error, item.quality->signal) : "",
        ran ? format_duration(item.seconds) : ""};
    if (any_lora) cells.push_back(lora_text(item));
    cells.push_back(printable(item.output.string()));
    table.add(std::move(cells));
  }
  terminal.print(table.text());
  std::vector<std::string> counts;
  for (const BatchStatus status : kAllStatuses) {
    if (const size_t number = count(items, status); number > 0)
      counts.push_back(fmt::format("{} {}", number, words(status)));
  }
  terminal.print(fmt::format("{} of {}\n", fmt::join(counts, ", "), plural(items.size(), "input")));
}

}  // namespace octavo::cli
