#include "batch/up_to_date.hpp"

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/json.hpp"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace octavo::cli {
namespace {

using nlohmann::json;

constexpr const char* kProvenance = "octavo";

using Time = std::pair<int64_t, int64_t>;

// Of all files together the oldest or the newest.
template <typename Choose>
Time time_of(const checkpoint::Checkpoint& checkpoint, Choose choose) {
  std::optional<Time> chosen;
  for (const std::filesystem::path& path : checkpoint.files()) {
    const auto snapshot = snapshot_of(path);
    const Time time = snapshot ? Time(snapshot->modified_seconds, snapshot->modified_nanoseconds) : Time();
    chosen = chosen ? choose(*chosen, time) : time;
  }
  return chosen.value_or(Time());
}

bool is_newer(const checkpoint::Checkpoint& source, const checkpoint::Checkpoint& output) {
  const auto later = [](const Time& a, const Time& b) { return std::max(a, b); };
  const auto earlier = [](const Time& a, const Time& b) { return std::min(a, b); };
  return time_of(source, later) > time_of(output, earlier);
}

json member(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found == object.end() ? json() : *found;
}

std::string difference(const json& stored, const json& wanted) {
  if (!stored.is_object()) return "octavo did not make it";
  if (member(stored, "source") != member(wanted, "source")) return "it was made from another source";
  if (member(stored, "version") != member(wanted, "version")) return "another version made it";
  const json before = member(stored, "settings");
  const json settings = member(wanted, "settings");
  for (const auto& [key, value] : settings.items()) {
    if (member(before, key.c_str()) != value) return fmt::format("its settings differ: {}", key);
  }
  return stored == wanted ? "" : "its settings differ";
}

bool holds(const checkpoint::Checkpoint& output, const plan::Plan& plan) {
  if (!plan.size_exact) return true;  // which layers there are is known after reading them
  return output.tensors().size() == plan.outputs.size() &&
         std::all_of(plan.outputs.begin(), plan.outputs.end(), [&](const checkpoint::OutputTensor& wanted) {
           const checkpoint::TensorRef* stored = output.find(wanted.name);
           return stored != nullptr && stored->info.dtype == wanted.dtype &&
                  stored->info.shape == wanted.shape;
         });
}

}  // namespace

std::string out_of_date(const std::filesystem::path& path, const plan::Plan& plan,
                        const checkpoint::Checkpoint& source) {
  try {
    const checkpoint::Checkpoint output = checkpoint::Checkpoint::open(path);
    const auto stored = output.metadata().find(kProvenance);
    if (stored == output.metadata().end()) return "octavo did not make it";
    std::string reason = difference(parse_untrusted<json>(stored->second).value_or(json()),
                                    json::parse(plan.metadata.at(kProvenance)));
    if (!reason.empty()) return reason;
    if (!holds(output, plan)) return "it holds other tensors";
    return is_newer(source, output) ? "the source is newer" : "";
  } catch (const Error& error) {
    return fmt::format("it cannot be read: {}", error.what());
  }
}

}  // namespace octavo::cli
