#include "filter.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>

namespace octavo::test {
namespace {

const octavo_plugin& open(const std::string& library) {
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw std::runtime_error(dlerror());
  const auto entry = reinterpret_cast<octavo_plugin_function>(dlsym(handle, OCTAVO_PLUGIN_SYMBOL));
  if (entry == nullptr) throw std::runtime_error(library + " exports no " + OCTAVO_PLUGIN_SYMBOL);
  return *entry();
}

octavo_error no_error() {
  octavo_error error{};
  error.struct_size = sizeof error;
  return error;
}

void check(octavo_status status, const octavo_error& error) {
  if (status != OCTAVO_OK) throw std::runtime_error(error.message);
}

octavo_model_context context_of(const Header& header, const char* part_prefix) {
  return {sizeof(octavo_model_context), 0, header.raw(), part_prefix, 0};
}

}  // namespace

Filter::Filter(const std::string& library)
    : plugin_(open(library)), api_(*static_cast<const octavo_model_api*>(plugin_.api)) {
  octavo_error error = no_error();
  check(api_.create(nullptr, nullptr, 0, &self_, &error), error);
}

Filter::~Filter() { api_.destroy(self_); }

Detected Filter::detect(const Header& header, const std::string& part_prefix) const {
  const octavo_model_context context = context_of(header, part_prefix.c_str());
  octavo_detection detection{};
  detection.struct_size = sizeof detection;
  octavo_error error = no_error();
  check(api_.detect(self_, &context, &detection, &error), error);
  return {detection.score, detection.reason};
}

Verdict Filter::classify(const Tensor& tensor) const { return classify(Header({tensor}), 0); }

Verdict Filter::classify(const Header& header, std::uint64_t index) const {
  const octavo_model_context context = context_of(header, "");
  const octavo_header_tensor tensor = header.tensor(index);
  octavo_classification made{};
  made.struct_size = sizeof made;
  octavo_error error = no_error();
  check(api_.classify(self_, &context, &tensor, &made, &error), error);
  return {static_cast<octavo_decision>(made.decision), made.rule, made.reason};
}

std::string Filter::fold_target(const std::string& layer) const {
  if (api_.fold_target == nullptr) return {};
  const Header header({});
  const octavo_model_context context = context_of(header, "");
  char target[512] = {};
  octavo_error error = no_error();
  check(api_.fold_target(self_, &context, layer.c_str(), target, sizeof target, &error), error);
  return target;
}

std::string library_of(const std::string& id) {
  return std::string(OCTAVO_TEST_FILTERS).append("/").append(id).append(".so");
}

std::vector<std::string> filter_ids() {
  std::vector<std::string> ids;
  for (const auto& file : std::filesystem::directory_iterator(OCTAVO_TEST_FILTERS)) {
    if (file.path().extension() == ".so") ids.push_back(file.path().stem());
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

const char* name(octavo_decision decision) {
  switch (decision) {
    case OCTAVO_DECISION_QUANTIZE:
      return "quantize";
    case OCTAVO_DECISION_KEEP:
      return "keep";
    case OCTAVO_DECISION_HIGH_PRECISION:
      return "high_precision";
    case OCTAVO_DECISION_REMOVE:
      return "remove";
    case OCTAVO_DECISION_REFUSE:
      return "refuse";
  }
  return "?";
}

}  // namespace octavo::test
