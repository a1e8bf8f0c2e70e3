#include "plan/output_names.hpp"

#include <string_view>

namespace octavo::plan {

std::string stem_of(const std::filesystem::path& input) {
  const std::filesystem::path named = input.filename().empty() ? input.parent_path() : input;
  std::string stem = named.filename().string();
  for (const char* ending : {".safetensors.index.json", ".index.json", ".safetensors", ".sft"}) {
    if (!stem.ends_with(ending)) continue;
    stem.resize(stem.size() - std::string_view(ending).size());
    break;
  }
  return stem;
}

std::filesystem::path output_beside(const std::filesystem::path& input, const std::string& suffix,
                                    bool sharded) {
  const std::filesystem::path named = input.filename().empty() ? input.parent_path() : input;
  return named.parent_path() / (stem_of(input) + suffix + (sharded ? "" : ".safetensors"));
}

std::string output_suffix(const std::string& format, const std::string& optimizer) {
  return "_" + format + (optimizer == "nearest" ? "" : "_" + optimizer);
}

std::filesystem::path default_output(const std::filesystem::path& input, const Plan& plan, bool sharded) {
  return output_beside(input, output_suffix(plan.format.id, plan.optimizer.id), sharded);
}

}  // namespace octavo::plan
