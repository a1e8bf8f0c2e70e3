#include "layer_inputs.hpp"

#include "base/error.hpp"
#include "checkpoint/dtypes.hpp"
#include "reference/convert.hpp"

#include <octavo/tensor.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace octavo::cli {
namespace {

constexpr const char* kEnding = ".inputs";
constexpr const char* kShared = "octavo.inputs";

std::map<std::string, std::string, std::less<>> shared_inputs(const checkpoint::Checkpoint& file) {
  std::map<std::string, std::string, std::less<>> shared;
  const auto found = file.metadata().find(kShared);
  if (found == file.metadata().end()) return shared;
  const auto parsed = nlohmann::json::parse(found->second, nullptr, false);
  const bool is_map = parsed.is_object() && std::all_of(parsed.begin(), parsed.end(),
                                                        [](const auto& value) { return value.is_string(); });
  if (!is_map) {
    throw Error(ErrorCode::bad_input,
                fmt::format("[inputs] {}: the metadata \"{}\" is no object of layers to layers",
                            printable(file.files().front().string()), kShared));
  }
  for (const auto& [layer, owner] : parsed.items()) shared.emplace(layer, owner.template get<std::string>());
  return shared;
}

[[noreturn]] void refuse(const checkpoint::TensorInfo& info, const std::string& what) {
  throw Error(ErrorCode::bad_input, fmt::format("[inputs] {}: {}", printable(info.name), what));
}

}  // namespace

LayerInputs::LayerInputs(const std::filesystem::path& path, int64_t rows)
    : file_(checkpoint::Checkpoint::open(path)), rows_(rows), shared_(shared_inputs(file_)) {}

bool LayerInputs::empty() const {
  const auto& tensors = file_.tensors();
  return std::none_of(tensors.begin(), tensors.end(),
                      [](const auto& tensor) { return tensor.info.name.ends_with(kEnding); });
}

std::shared_ptr<const report::InputRows> LayerInputs::find(const std::string& layer) const {
  const checkpoint::TensorRef* tensor = file_.find(layer + kEnding);
  if (tensor == nullptr) {
    const auto owner = shared_.find(layer);
    if (owner != shared_.end()) tensor = file_.find(owner->second + kEnding);
  }
  if (tensor == nullptr) return nullptr;
  const checkpoint::TensorInfo& info = tensor->info;
  const auto dtype = static_cast<uint32_t>(info.dtype);
  if (info.shape.size() != 2 || !is_weight_dtype(dtype)) {
    refuse(info, fmt::format("{} of rank {}; floats [samples, columns] are expected",
                             checkpoint::name(info.dtype), info.shape.size()));
  }
  const auto all = static_cast<int64_t>(info.shape[0]);
  auto rows = std::make_shared<report::InputRows>();
  rows->samples = std::min(rows_, all);
  rows->cols = static_cast<int64_t>(info.shape[1]);
  rows->values.resize(static_cast<size_t>(rows->samples * rows->cols));
  std::vector<std::byte> row(static_cast<size_t>(rows->cols) * bytes_of(dtype));
  auto value = rows->values.begin();
  for (int64_t sample = 0; sample < rows->samples; ++sample) {
    const int64_t place = sample * all / rows->samples;
    file_.read(*tensor, static_cast<uint64_t>(place) * row.size(), row);
    for (int64_t column = 0; column < rows->cols; ++column) {
      *value = reference::load(row.data(), dtype, column);
      if (!std::isfinite(*value++))
        refuse(info, fmt::format("row {}, column {} is not finite", place, column));
    }
  }
  return rows;
}

}  // namespace octavo::cli
