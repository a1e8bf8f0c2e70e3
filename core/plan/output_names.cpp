#include "plan/output_names.hpp"

#include <string_view>
#include <system_error>

namespace octavo::plan {

namespace {

// Without a slash at its end; of ".", "sub/." and ".." the folder's own path, links followed as opening it
// does.
std::filesystem::path with_a_name(const std::filesystem::path& input) {
  std::filesystem::path named = input.filename().empty() ? input.parent_path() : input;
  if (named.filename() != "." && named.filename() != "..") return named;
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::canonical(named, error);
  return error ? named : folder;
}

}  // namespace

std::string stem_of(const std::filesystem::path& input) {
  std::string stem = with_a_name(input).filename().string();
  for (const char* ending : {".safetensors.index.json", ".index.json", ".safetensors", ".sft"}) {
    if (!stem.ends_with(ending)) continue;
    stem.resize(stem.size() - std::string_view(ending).size());
    break;
  }
  return stem;
}

std::filesystem::path file_beside(const std::filesystem::path& input, const std::string& ending) {
  return with_a_name(input).parent_path() / (stem_of(input) + ending);
}

std::filesystem::path output_beside(const std::filesystem::path& input, const std::string& suffix,
                                    bool sharded) {
  return file_beside(input, suffix + (sharded ? "" : ".safetensors"));
}

std::string output_suffix(const std::string& format, const std::string& optimizer) {
  return "_" + format + (optimizer == kNearest ? "" : "_" + optimizer);
}

std::filesystem::path default_output(const std::filesystem::path& input, const Plan& plan, bool sharded) {
  return output_beside(input, output_suffix(plan.format.id, plan.optimizer.id), sharded);
}

}  // namespace octavo::plan
