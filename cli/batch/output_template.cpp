#include "batch/output_template.hpp"

#include "base/error.hpp"
#include "plan/output_names.hpp"

#include <fmt/args.h>
#include <fmt/format.h>

#include <system_error>

namespace octavo::cli {
namespace {

namespace fs = std::filesystem;

fs::path folder_of_input(const fs::path& input) {
  const fs::path folder = plan::file_beside(input, "").parent_path();
  return folder.empty() ? fs::path(".") : folder;
}

std::string fill(const std::string& text, const OutputParts& parts) {
  fmt::dynamic_format_arg_store<fmt::format_context> words;
  words.push_back(fmt::arg("stem", plan::stem_of(parts.input)));
  words.push_back(fmt::arg("name", parts.input.filename().string()));
  words.push_back(fmt::arg("folder", folder_of_input(parts.input).string()));
  words.push_back(fmt::arg("format", parts.format));
  words.push_back(fmt::arg("optimizer", parts.optimizer));
  return fmt::vformat(text, words);
}

}  // namespace

OutputTemplate::OutputTemplate(std::string text) : text_(std::move(text)) {
  bool has_words = false;
  try {
    has_words = fill(text_, {"a/b.safetensors", "c", "d"}) != fill(text_, {"e/f.safetensors", "g", "h"});
  } catch (const fmt::format_error&) {
    throw Error(ErrorCode::usage, fmt::format("[batch] --output '{}' cannot be filled in", printable(text_)),
                "it may hold {stem}, {name}, {folder}, {format} and {optimizer}");
  }
  std::error_code ignored;
  const bool names_a_file = has_words || text_.ends_with(".safetensors") || text_.ends_with(".sft");
  is_folder_ = text_.ends_with('/') || fs::is_directory(text_, ignored) || !names_a_file;
}

fs::path OutputTemplate::path(const OutputParts& parts) const {
  fs::path beside =
      plan::output_beside(parts.input, plan::output_suffix(parts.format, parts.optimizer), parts.sharded);
  if (text_.empty()) return beside;
  if (is_folder_) return fs::path(fill(text_, parts)) / beside.filename();
  return fill(text_, parts);
}

}  // namespace octavo::cli
