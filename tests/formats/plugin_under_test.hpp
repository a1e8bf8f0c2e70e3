// Plugins as the host uses them: opened by path, through the exported C function and the C tables alone.
#pragma once

#include "fake_header.hpp"

#include <octavo/model.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace octavo::test {

using Values = std::map<std::string, std::string>;

// The descriptor that a library exports. The library is never closed.
const octavo_plugin& plugin_at(const std::string& path);

// An instance with values given as text; the others have their defaults.
struct Instance {
  Instance(const std::string& path, const Values& values);
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  const octavo_plugin& plugin;
  void* self = nullptr;
};

struct Placed {
  octavo_status status;
  octavo_placement placement;
};

struct OwnedEntry {
  std::uint32_t role;
  std::string key;
  std::uint32_t dtype;
  std::vector<std::int64_t> shape;
  std::string bytes;
};

struct Found {
  std::string name;
  std::int64_t rows;
  std::int64_t cols;
  octavo_grid grid;
  std::uint32_t flags;
  std::map<std::uint32_t, std::string> entries;  // role to tensor
};

struct Recognised {
  std::vector<Found> layers;
  std::vector<Finding> findings;

  // Whether a finding with this code names the tensor, with this severity.
  bool has(std::uint32_t severity, const std::string& code, const std::string& tensor) const;
};

// A layer of which only what formats look at is set; the names live as long as it.
struct LayerOf {
  LayerOf(std::string layer_name, std::string weight_key, std::int64_t rows, std::int64_t cols);

  std::string name;
  std::string key;
  octavo_layer raw{};
};

class FormatUnderTest {
 public:
  explicit FormatUnderTest(const std::string& path, const Values& values = {}) : instance_(path, values) {}

  const octavo_plugin& plugin() const { return instance_.plugin; }
  Placed grid(const octavo_layer& layer) const;
  // Throws PluginError with the plugin's status.
  std::vector<OwnedEntry> entries(const octavo_layer& layer, const octavo_grid& grid,
                                  std::uint32_t flags = 0) const;
  Recognised recognise(const FakeHeader& header) const;

 private:
  const octavo_format_api& api() const;
  Instance instance_;
};

class ModelUnderTest {
 public:
  explicit ModelUnderTest(const std::string& path) : instance_(path, {}) {}

  const octavo_plugin& plugin() const { return instance_.plugin; }
  octavo_detection detect(const FakeHeader& header, const std::string& prefix = "") const;
  octavo_classification classify(const FakeTensor& tensor, const std::string& prefix = "") const;

 private:
  const octavo_model_api& api() const;
  Instance instance_;
};

FormatUnderTest tensorwise(const Values& values = {});
FormatUnderTest convrot(const Values& values = {});
FormatUnderTest blockwise(const Values& values = {});
FormatUnderTest axiswise();
FormatUnderTest fp16();

}  // namespace octavo::test
