// A model filter as the host uses it: opened by path, through the exported C function and the C tables alone.
#pragma once

#include "header.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace octavo::test {

struct Detected {
  std::uint32_t score;
  std::string reason;
};

struct Verdict {
  octavo_decision decision;
  std::string rule;
  std::string reason;
};

class Filter {
 public:
  explicit Filter(const std::string& library);  // path
  ~Filter();
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  std::string id() const { return plugin_.id; }
  bool takes_part_in_auto() const { return (plugin_.flags & OCTAVO_MODEL_AUTO) != 0; }
  bool is_fallback() const { return (plugin_.flags & OCTAVO_MODEL_FALLBACK) != 0; }
  Detected detect(const Header& header, const std::string& part_prefix = "") const;
  Verdict classify(const Tensor& tensor) const;  // of a file that holds nothing else
  Verdict classify(const Header& header, std::uint64_t index) const;
  std::string fold_target(const std::string& layer) const;  // "": none

 private:
  const octavo_plugin& plugin_;
  const octavo_model_api& api_;
  void* self_ = nullptr;
};

// Path of the filter `id` of this build.
std::string library_of(const std::string& id);
// Ids of all filters in the plugin folder of this build, sorted.
std::vector<std::string> filter_ids();

const char* name(octavo_decision decision);

}  // namespace octavo::test
