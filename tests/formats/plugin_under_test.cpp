#include "plugin_under_test.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <stdexcept>

namespace octavo::test {

const octavo_plugin& plugin_at(const std::string& path) {
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(dlerror());
  const auto function = reinterpret_cast<octavo_plugin_function>(dlsym(library, OCTAVO_PLUGIN_SYMBOL));
  if (function == nullptr) throw std::runtime_error(dlerror());
  return *function();
}

namespace {

template <typename Api>
const Api& api_of(const Instance& instance) {
  return *static_cast<const Api*>(instance.plugin.api);
}

void require_ok(octavo_status status, const octavo_error& error) {
  if (status != OCTAVO_OK) throw PluginError(status, error.message, error.hint);
}

}  // namespace

Instance::Instance(const std::string& path, const Values& given) : plugin(plugin_at(path)) {
  std::vector<octavo_param_value> values;
  for (std::uint64_t i = 0; i < plugin.params_count; ++i) {
    const octavo_param& param = plugin.params[i];
    const auto found = given.find(param.name);
    const char* text = found == given.end() ? param.default_value : found->second.c_str();
    octavo_param_value value{};
    value.name = param.name;
    value.type = param.type;
    value.text = text;
    if (param.type == OCTAVO_PARAM_INTEGER) value.integer = std::stoll(text);
    values.push_back(value);
  }
  static const octavo_host host{};
  octavo_error error = empty_error();
  const auto create = plugin.kind == OCTAVO_KIND_FORMAT ? api_of<octavo_format_api>(*this).create
                                                        : api_of<octavo_model_api>(*this).create;
  require_ok(create(&host, values.data(), values.size(), &self, &error), error);
}

Instance::~Instance() {
  const auto destroy = plugin.kind == OCTAVO_KIND_FORMAT ? api_of<octavo_format_api>(*this).destroy
                                                         : api_of<octavo_model_api>(*this).destroy;
  destroy(self);
}

LayerOf::LayerOf(std::string layer_name, std::string weight_key, std::int64_t rows, std::int64_t cols)
    : name(std::move(layer_name)), key(std::move(weight_key)) {
  raw.struct_size = sizeof raw;
  raw.dtype = OCTAVO_BF16;
  raw.name = name.c_str();
  raw.key = key.c_str();
  raw.rows = rows;
  raw.cols = cols;
}

bool Recognised::has(std::uint32_t severity, const std::string& code, const std::string& tensor) const {
  return std::any_of(findings.begin(), findings.end(), [&](const Finding& finding) {
    return finding.severity == severity && finding.code == code && finding.tensor == tensor &&
           !finding.message.empty();
  });
}

const octavo_format_api& FormatUnderTest::api() const { return api_of<octavo_format_api>(instance_); }

Placed FormatUnderTest::grid(const octavo_layer& layer) const {
  Placed placed{};
  placed.placement.struct_size = sizeof placed.placement;
  octavo_error error = empty_error();
  placed.status = api().grid(instance_.self, &layer, &placed.placement, &error);
  return placed;
}

std::vector<OwnedEntry> FormatUnderTest::entries(const octavo_layer& layer, const octavo_grid& grid,
                                                 std::uint32_t flags) const {
  std::vector<OwnedEntry> entries;
  const octavo_entry_sink sink = [](void* context, const octavo_entry* entry) {
    std::string bytes;
    if (entry->bytes != nullptr) bytes.assign(static_cast<const char*>(entry->bytes), entry->bytes_size);
    static_cast<std::vector<OwnedEntry>*>(context)->push_back(
        {entry->role, entry->key, entry->dtype, {entry->shape, entry->shape + entry->rank}, bytes});
    return OCTAVO_OK;
  };
  octavo_error error = empty_error();
  require_ok(api().entries(instance_.self, &layer, &grid, flags, sink, &entries, &error), error);
  return entries;
}

Recognised FormatUnderTest::recognise(const FakeHeader& header) const {
  struct Collected {
    const FakeHeader& header;
    Recognised recognised;
  } collected{header, {}};
  octavo_recognition recognition{};
  recognition.struct_size = sizeof recognition;
  recognition.context = &collected;
  recognition.layer = [](void* context, const octavo_recognised* layer) {
    auto& [from, recognised] = *static_cast<Collected*>(context);
    Found found{layer->name, layer->rows, layer->cols, layer->grid, layer->flags, {}};
    for (std::uint64_t i = 0; i < layer->entries_count; ++i)
      found.entries[layer->entries[i].role] = from.at(layer->entries[i].tensor).name;
    recognised.layers.push_back(std::move(found));
    return OCTAVO_OK;
  };
  recognition.finding = [](void* context, const octavo_finding* finding) {
    static_cast<Collected*>(context)->recognised.findings.push_back(
        {finding->severity, finding->code, finding->tensor, finding->message});
    return OCTAVO_OK;
  };
  octavo_error error = empty_error();
  require_ok(api().recognise(instance_.self, header.raw(), &recognition, &error), error);
  return std::move(collected.recognised);
}

const octavo_model_api& ModelUnderTest::api() const { return api_of<octavo_model_api>(instance_); }

octavo_detection ModelUnderTest::detect(const FakeHeader& header, const std::string& prefix) const {
  const octavo_model_context context{sizeof context, 0, header.raw(), prefix.c_str(), 0};
  octavo_detection detection{};
  detection.struct_size = sizeof detection;
  octavo_error error = empty_error();
  require_ok(api().detect(instance_.self, &context, &detection, &error), error);
  return detection;
}

octavo_classification ModelUnderTest::classify(const FakeTensor& tensor, const std::string& prefix) const {
  const FakeHeader header({tensor});
  const octavo_model_context context{sizeof context, 0, header.raw(), prefix.c_str(), 0};
  octavo_header_tensor raw{};
  raw.struct_size = sizeof raw;
  raw.dtype = tensor.dtype;
  raw.name = tensor.name.c_str();
  raw.rank = static_cast<std::uint32_t>(tensor.shape.size());
  raw.shape = tensor.shape.data();
  octavo_classification classification{};
  classification.struct_size = sizeof classification;
  octavo_error error = empty_error();
  require_ok(api().classify(instance_.self, &context, &raw, &classification, &error), error);
  return classification;
}

FormatUnderTest tensorwise(const Values& values) {
  return FormatUnderTest(OCTAVO_TEST_int8_tensorwise, values);
}
FormatUnderTest convrot(const Values& values) { return FormatUnderTest(OCTAVO_TEST_int8_convrot, values); }
FormatUnderTest blockwise(const Values& values) {
  return FormatUnderTest(OCTAVO_TEST_int8_blockwise, values);
}
FormatUnderTest axiswise() { return FormatUnderTest(OCTAVO_TEST_int8_axiswise); }
FormatUnderTest fp16() { return FormatUnderTest(OCTAVO_TEST_fp16); }

}  // namespace octavo::test
