// The data of all tensors is read once, in the order of the files, in pieces that threads take one after the
// other.
#include "report/verify.hpp"

#include "base/work_sharing.hpp"
#include "checkpoint/dtypes.hpp"
#include "plugin/severity.hpp"
#include "report/leftovers.hpp"
#include "report/scan.hpp"

#include <octavo/grid.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

namespace octavo::report {
namespace {

using checkpoint::TensorRef;

constexpr uint64_t kPieceBytes = uint64_t{4} << 20;  // a multiple of every element's width

// What a tensor is, as far as its values are concerned.
struct Task {
  const TensorRef* tensor = nullptr;
  const octavo_grid* codes_of = nullptr;  // integer codes stored one by one
  bool scales = false;
  bool belongs_to_layer = false;
  NonFinite nonfinite = {};
  Found codes_out_of_range = {};
  Found bad_scales = {};
  bool any_bit = false;
};

struct Piece {
  size_t task = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

bool is_scale(octavo_role role) {
  return role == OCTAVO_ROLE_SCALES || role == OCTAVO_ROLE_OUTER_SCALES || role == OCTAVO_ROLE_INPUT_SCALE;
}

// Tasks in the order in which the data lies in the files.
std::vector<Task> tasks_of(const checkpoint::Checkpoint& file, const stored::Survey& survey) {
  std::vector<Task> tasks;
  for (const TensorRef& tensor : file.tensors()) tasks.push_back({.tensor = &tensor});
  for (const stored::Layer& layer : survey.layers) {
    for (const stored::Entry& entry : layer.entries) {
      Task& task = tasks[static_cast<size_t>(entry.tensor - file.tensors().data())];
      task.belongs_to_layer = true;
      const bool plain = !layer.format->packs();
      task.scales = plain && is_scale(entry.role);
      const bool integer = layer.grid.code == OCTAVO_CODE_INTEGER && entry.tensor->info.dtype == OCTAVO_I8;
      if (plain && integer && entry.role == OCTAVO_ROLE_CODES) task.codes_of = &layer.grid;
    }
  }
  std::stable_sort(tasks.begin(), tasks.end(), [](const Task& a, const Task& b) {
    return std::pair(a.tensor->file, a.tensor->info.begin) < std::pair(b.tensor->file, b.tensor->info.begin);
  });
  return tasks;
}

std::vector<Piece> pieces_of(const std::vector<Task>& tasks) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < tasks.size(); ++i) {
    const uint64_t bytes = tasks[i].tensor->info.bytes();
    for (uint64_t offset = 0; offset < bytes; offset += kPieceBytes) {
      pieces.push_back({i, offset, std::min(kPieceBytes, bytes - offset)});
    }
  }
  return pieces;
}

// What one piece adds to its task.
Task scan(const Task& task, std::span<const std::byte> bytes, uint64_t offset) {
  const octavo_dtype dtype = task.tensor->info.dtype;
  Task found;
  const uint64_t first = offset * 8 / static_cast<uint64_t>(checkpoint::bits(dtype));
  if (task.scales) {
    found.bad_scales = scan_scales(dtype, bytes, first);
  } else if (task.codes_of != nullptr) {
    found.codes_out_of_range = scan_codes(bytes, task.codes_of->qmin, task.codes_of->qmax, first);
    found.any_bit = !all_zero(bytes);
  } else if (can_be_nonfinite(dtype)) {
    found.nonfinite = scan_nonfinite(dtype, bytes, first);
  }
  return found;
}

void merge(Task& task, const Task& found) {
  task.nonfinite.nans.add(found.nonfinite.nans);
  task.nonfinite.infinities.add(found.nonfinite.infinities);
  task.codes_out_of_range.add(found.codes_out_of_range);
  task.bad_scales.add(found.bad_scales);
  task.any_bit = task.any_bit || found.any_bit;
}

uint64_t read_data(const checkpoint::Checkpoint& file, std::vector<Task>& tasks,
                   const VerifyOptions& options) {
  const std::vector<Piece> pieces = pieces_of(tasks);
  uint64_t total = 0;
  for (const Piece& piece : pieces) total += piece.bytes;
  Meter meter(total, tasks.size(), options.progress);
  std::vector<std::vector<std::byte>> buffers(std::max(1u, options.threads));
  std::mutex mutex;
  share_out(pieces.size(), options.threads, [&](size_t i, unsigned worker) {
    const Piece& piece = pieces[i];
    buffers[worker].resize(kPieceBytes);
    const std::span<std::byte> bytes(buffers[worker].data(), piece.bytes);
    file.read(*tasks[piece.task].tensor, piece.offset, bytes);
    const Task found = scan(tasks[piece.task], bytes, piece.offset);
    {
      const std::lock_guard lock(mutex);
      merge(tasks[piece.task], found);
    }
    meter.add(piece.bytes, tasks[piece.task].tensor->info.name);
  });
  meter.finish();
  return total;
}

std::string places(const Found& found, const char* what) {
  return fmt::format("{} {}, the first at element {}", found.count, what, found.first);
}

void report_task(const Task& task, std::vector<plugin::Finding>& findings) {
  const std::string& name = task.tensor->info.name;
  const auto add = [&](uint32_t severity, const char* code, std::string message) {
    findings.push_back({severity, code, name, std::move(message)});
  };
  if (task.codes_out_of_range.count > 0) {
    add(plugin::kError, "codes-range",
        fmt::format("{} (the format's codes lie in [{}, {}])",
                    places(task.codes_out_of_range, "codes out of range"), task.codes_of->qmin,
                    task.codes_of->qmax));
  }
  if (task.codes_of != nullptr && !task.any_bit && task.tensor->info.bytes() > 0) {
    add(plugin::kWarning, "codes-all-zero", "every code is 0");
  }
  if (task.bad_scales.count > 0) {
    add(plugin::kError, "scale-value", places(task.bad_scales, "scales that are not finite and above zero"));
  }
  const bool mask = !name.ends_with(".weight") && !name.ends_with(".bias") && !task.belongs_to_layer;
  const uint32_t severity = task.belongs_to_layer ? plugin::kError : plugin::kWarning;
  if (task.nonfinite.nans.count > 0) add(severity, "nan", places(task.nonfinite.nans, "NaN"));
  if (task.nonfinite.infinities.count > 0) {
    add(mask ? plugin::kNote : severity, "infinity", places(task.nonfinite.infinities, "infinities"));
  }
}

// Shapes and dtypes of codes and scales against the grid, for formats that store them row by row.
void check_shapes(const stored::Layer& layer, std::vector<plugin::Finding>& findings) {
  if (layer.format->packs()) return;
  const TensorRef* codes = layer.find(OCTAVO_ROLE_CODES);
  if (codes != nullptr && codes->info.dtype != static_cast<octavo_dtype>(layer.grid.stored_dtype)) {
    findings.push_back(
        {plugin::kError, "codes-dtype", codes->info.name,
         fmt::format("the codes are {}, the format stores {}", checkpoint::name(codes->info.dtype),
                     checkpoint::name(static_cast<octavo_dtype>(layer.grid.stored_dtype)))});
  }
  const octavo_role roles[] = {OCTAVO_ROLE_SCALES, OCTAVO_ROLE_OUTER_SCALES};
  for (uint32_t i = 0; i < layer.grid.scale_levels; ++i) {
    const TensorRef* scales = layer.find(roles[i]);
    const ScaleShape shape = scale_shape(layer.grid.scales[i], layer.grid.rows, layer.grid.cols);
    const auto expected = static_cast<uint64_t>(shape.rows * shape.cols);
    if (scales == nullptr) {
      findings.push_back({plugin::kError, "scale-missing", layer.name, "the layer has no scales"});
    } else if (scales->info.elements() != expected) {
      findings.push_back({plugin::kError, "scale-shape", scales->info.name,
                          fmt::format("{} scales, the grid has {}", scales->info.elements(), expected)});
    }
  }
}

}  // namespace

bool Verification::ok() const {
  return std::none_of(findings.begin(), findings.end(),
                      [](const plugin::Finding& finding) { return finding.severity >= plugin::kError; });
}

Verification verify(const checkpoint::Checkpoint& file, const stored::Survey& survey,
                    const VerifyOptions& options) {
  Verification result{survey.findings, 0};
  for (const stored::Layer& layer : survey.layers) check_shapes(layer, result.findings);
  for (plugin::Finding& finding : find_leftovers(file, survey)) result.findings.push_back(std::move(finding));
  if (!options.read_data) return result;
  std::vector<Task> tasks = tasks_of(file, survey);
  result.bytes_read = read_data(file, tasks, options);
  for (const Task& task : tasks) report_task(task, result.findings);
  return result;
}

}  // namespace octavo::report
