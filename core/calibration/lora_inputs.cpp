#include "calibration/lora_inputs.hpp"

#include <cmath>
#include <set>

namespace octavo::calibration {
namespace {

constexpr std::string_view kWeight = ".weight";

// A row of zeros is left out.
void append_scaled(const float* row, int64_t cols, lora::Matrix& rows) {
  double squares = 0;
  for (int64_t c = 0; c < cols; ++c) squares += double{row[c]} * double{row[c]};
  if (squares == 0) return;
  const double factor = std::sqrt(static_cast<double>(cols) / squares);
  for (int64_t c = 0; c < cols; ++c) rows.values.push_back(static_cast<float>(double{row[c]} * factor));
  ++rows.rows;
}

bool is_layer(const checkpoint::Checkpoint& source, const std::string& key) {
  const checkpoint::TensorRef* tensor = source.find(key);
  return tensor != nullptr && tensor->info.shape.size() == 2 && key.ends_with(kWeight);
}

}  // namespace

LoraInputs inputs_from_loras(const lora::MergePlan& merges, const checkpoint::Checkpoint& source) {
  LoraInputs found;
  for (const auto& [key, deltas] : merges.deltas) {
    if (!is_layer(source, key)) continue;
    lora::Matrix rows;
    rows.cols = static_cast<int64_t>(source.find(key)->info.shape[1]);
    std::set<const lora::Adapter*> seen;  // one update may change several ranges of rows
    for (const lora::Delta& delta : deltas) {
      const lora::Adapter& adapter = *delta.adapter;
      if (!adapter.is_low_rank() || adapter.down.cols != rows.cols || !seen.insert(&adapter).second) continue;
      for (int64_t r = 0; r < adapter.down.rows; ++r) append_scaled(adapter.down.row(r), rows.cols, rows);
    }
    if (rows.rows == 0) {
      found.left_out.push_back(key);
    } else {
      found.layers.emplace(key.substr(0, key.size() - kWeight.size()), std::move(rows));
    }
  }
  return found;
}

}  // namespace octavo::calibration
