#include "base/error.hpp"
#include "calibration/file_contents.hpp"
#include "checkpoint/dtypes.hpp"
#include "reference/convert.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <cmath>

namespace octavo::calibration {
namespace {

constexpr const char* kSharing = "octavo.inputs";

[[noreturn]] void refuse(const std::string& where, const std::string& what, std::string hint = {}) {
  throw Error(ErrorCode::bad_input, fmt::format("[calibration] {}: {}", where, what), std::move(hint));
}

class TensorFile {
 public:
  TensorFile(const checkpoint::Checkpoint& file, const std::string& shown) : file_(file), shown_(shown) {}

  FileContents read() {
    for (const checkpoint::TensorRef& tensor : file_.tensors()) add(tensor);
    read_sharing();
    const auto made_of = file_.metadata().find(kSourceKey);
    if (made_of != file_.metadata().end() && made_of->second == kFromLora) {
      for (auto& [layer, said] : contents_.layers) said.recorded = false;
    }
    if (unknown_ > 0) {
      contents_.notes.push_back(fmt::format("{} holds {} tensors that say nothing about inputs ({}{})",
                                            shown_, unknown_, first_unknown_, unknown_ > 1 ? ", ..." : ""));
    }
    check_widths(contents_, shown_);
    return std::move(contents_);
  }

 private:
  std::string where(const checkpoint::TensorRef& tensor) const {
    return fmt::format("{}, {}", shown_, printable(tensor.info.name));
  }

  void add(const checkpoint::TensorRef& tensor) {
    const std::string& key = tensor.info.name;
    const size_t dot = key.rfind('.');
    const std::string kind = dot == key.npos ? "" : key.substr(dot + 1);
    const std::string layer = key.substr(0, dot == key.npos ? 0 : dot);
    if (kind == "inputs") {
      contents_.layers[layer].samples = &samples(tensor);
    } else if (kind == "input_mean") {
      contents_.layers[layer].mean = statistic(tensor, true);
    } else if (kind == "channel_max") {
      contents_.layers[layer].channel_max = statistic(tensor, false);
    } else if (kind == "input_scale") {
      contents_.layers[layer].input_scale = scale(tensor);
    } else if (kind != "channel_mean" && unknown_++ == 0) {
      first_unknown_ = printable(key);
    }
  }

  const checkpoint::TensorRef& samples(const checkpoint::TensorRef& tensor) const {
    const checkpoint::TensorInfo& info = tensor.info;
    if (info.dtype != OCTAVO_F32 && info.dtype != OCTAVO_BF16 && info.dtype != OCTAVO_F16) {
      refuse(where(tensor), fmt::format("inputs are F32, BF16 or F16, not {}", checkpoint::name(info.dtype)));
    }
    if (info.shape.size() != 2 || info.elements() == 0) {
      refuse(where(tensor), fmt::format("inputs are [samples, cols] with at least one sample, not [{}]",
                                        fmt::join(info.shape, ", ")));
    }
    return tensor;
  }

  std::vector<float> values(const checkpoint::TensorRef& tensor) const {
    const checkpoint::TensorInfo& info = tensor.info;
    if (!octavo::checkpoint::is_float(info.dtype) || checkpoint::bits(info.dtype) < 16) {
      refuse(where(tensor),
             fmt::format("statistics are F32, BF16, F16 or F64, not {}", checkpoint::name(info.dtype)));
    }
    std::vector<std::byte> raw(info.bytes());
    file_.read(tensor, 0, raw);
    std::vector<float> made(info.elements());
    for (size_t i = 0; i < made.size(); ++i)
      made[i] = reference::load(raw.data(), info.dtype, static_cast<int64_t>(i));
    return made;
  }

  std::vector<float> statistic(const checkpoint::TensorRef& tensor, bool may_be_negative) const {
    if (tensor.info.shape.size() != 1 || tensor.info.elements() == 0) {
      refuse(where(tensor),
             fmt::format("a statistic is [cols], not [{}]", fmt::join(tensor.info.shape, ", ")));
    }
    std::vector<float> made = values(tensor);
    check_values(made, may_be_negative, where(tensor));
    return made;
  }

  float scale(const checkpoint::TensorRef& tensor) const {
    if (tensor.info.elements() != 1) {
      refuse(where(tensor),
             fmt::format("an input scale has one element, not [{}]", fmt::join(tensor.info.shape, ", ")));
    }
    const float made = values(tensor).front();
    check_scale(made, where(tensor));
    return made;
  }

  void read_sharing() {
    const auto said = file_.metadata().find(kSharing);
    if (said == file_.metadata().end()) return;
    const auto json = nlohmann::json::parse(said->second, nullptr, false);
    const std::string where = fmt::format("{}, __metadata__[\"{}\"]", shown_, kSharing);
    if (!json.is_object())
      refuse(where, "it is a JSON object from a layer to the layer whose inputs it shares");
    for (const auto& [layer, owner] : json.items()) {
      if (!owner.is_string()) refuse(where, fmt::format("{} names no layer", printable(layer)));
      const auto name = owner.get<std::string>();
      if (name == layer) continue;
      if (!contents_.layers.contains(name)) {
        refuse(where, fmt::format("{} shares the inputs of {}, of which the file holds none",
                                  printable(layer), printable(name)));
      }
      if (contents_.layers.contains(layer)) {
        refuse(where, fmt::format("{} shares the inputs of {} and has entries of its own", printable(layer),
                                  printable(name)));
      }
      contents_.shared[layer] = name;
    }
  }

  const checkpoint::Checkpoint& file_;
  const std::string& shown_;
  FileContents contents_;
  size_t unknown_ = 0;
  std::string first_unknown_;
};

}  // namespace

FileContents read_tensor_file(const checkpoint::Checkpoint& file, const std::string& shown) {
  return TensorFile(file, shown).read();
}

int64_t LayerContents::cols() const {
  if (samples != nullptr) return static_cast<int64_t>(samples->info.shape[1]);
  return static_cast<int64_t>(mean.empty() ? channel_max.size() : mean.size());
}

void check_values(const std::vector<float>& values, bool may_be_negative, const std::string& where) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) refuse(where, fmt::format("element {} is not finite", i));
    if (!may_be_negative && values[i] < 0)
      refuse(where, fmt::format("element {} is {}; a maximum of |x| is not negative", i, values[i]));
  }
}

void check_scale(float scale, const std::string& where) {
  if (!std::isfinite(scale) || scale <= 0)
    refuse(where, fmt::format("an input scale is {}; expected a positive number", scale));
}

void check_widths(const FileContents& contents, const std::string& shown) {
  for (const auto& [layer, said] : contents.layers) {
    const auto cols = static_cast<size_t>(said.cols());
    for (const std::vector<float>* statistic : {&said.mean, &said.channel_max}) {
      if (statistic->empty() || statistic->size() == cols) continue;
      refuse(fmt::format("{}, {}", shown, printable(layer)),
             fmt::format("a statistic has {} columns and the inputs have {}", statistic->size(), cols));
    }
  }
}

}  // namespace octavo::calibration
