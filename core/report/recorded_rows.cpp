#include "report/recorded_rows.hpp"

#include "reference/convert.hpp"

#include <octavo/tensor.hpp>

#include <algorithm>
#include <vector>

namespace octavo::report {
namespace {

bool is_recorded(const calibration::InputGroup& group) {
  return group.has_samples() && group.contents.recorded;
}

}  // namespace

bool has_recorded_rows(const calibration::Calibration& calibration) {
  const auto& groups = calibration.groups();
  return std::any_of(groups.begin(), groups.end(),
                     [](const auto& named) { return is_recorded(named.second); });
}

std::shared_ptr<const InputRows> recorded_rows(const calibration::Calibration& calibration,
                                               const std::string& layer, int64_t rows) {
  const calibration::InputGroup* group = calibration.find(layer);
  if (group == nullptr || !is_recorded(*group)) return nullptr;
  const auto kept = static_cast<int64_t>(group->rows.size());
  auto made = std::make_shared<InputRows>();
  made->samples = std::min(rows, kept);
  made->cols = group->cols();
  made->values.resize(static_cast<size_t>(made->samples * made->cols));
  const uint32_t dtype = group->contents.samples->info.dtype;
  std::vector<std::byte> row(static_cast<size_t>(made->cols) * bytes_of(dtype));
  auto value = made->values.begin();
  for (int64_t sample = 0; sample < made->samples; ++sample) {
    calibration.read(*group, sample * kept / made->samples, 1, row);
    for (int64_t column = 0; column < made->cols; ++column)
      *value++ = reference::load(row.data(), dtype, column);
  }
  return made;
}

}  // namespace octavo::report
