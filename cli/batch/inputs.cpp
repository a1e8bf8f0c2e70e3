#include "batch/inputs.hpp"

#include "base/error.hpp"

#include <fnmatch.h>
#include <glob.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <system_error>

namespace octavo::cli {
namespace {

namespace fs = std::filesystem;

class Matches {
 public:
  explicit Matches(const std::string& pattern)
      : code_(::glob(pattern.c_str(), GLOB_BRACE | GLOB_NOSORT | GLOB_TILDE, nullptr, &found_)) {}
  ~Matches() { ::globfree(&found_); }
  Matches(const Matches&) = delete;
  Matches& operator=(const Matches&) = delete;

  int code() const { return code_; }
  std::vector<fs::path> paths() const {
    return code_ == 0 ? std::vector<fs::path>(found_.gl_pathv, found_.gl_pathv + found_.gl_pathc)
                      : std::vector<fs::path>{};
  }

 private:
  glob_t found_{};
  int code_;
};

bool by_bytes(const fs::path& a, const fs::path& b) { return a.native() < b.native(); }

bool exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::vector<fs::path> each_once(std::vector<fs::path> paths) {
  std::sort(paths.begin(), paths.end(), by_bytes);
  std::set<fs::path> seen;
  std::erase_if(paths, [&](const fs::path& path) { return !seen.insert(resolved(path)).second; });
  return paths;
}

}  // namespace

fs::path resolved(const fs::path& path) {
  std::error_code error;
  fs::path real = fs::weakly_canonical(path, error);
  return error ? fs::absolute(path, error) : real;
}

std::vector<fs::path> expand(const std::string& text) {
  const bool is_pattern = text.find_first_of("*?[{") != text.npos;
  if (!is_pattern || exists(text)) return {text};
  const Matches matches(text);
  std::vector<fs::path> paths = matches.paths();
  if (paths.empty()) {
    throw Error(ErrorCode::io, fmt::format("[batch] the pattern '{}' matches no file", printable(text)),
                "patterns know *, ?, [...] and {a,b}; folders in between must exist");
  }
  std::sort(paths.begin(), paths.end(), by_bytes);
  return paths;
}

std::vector<fs::path> matching_files(const fs::path& folder, const std::string& pattern) {
  std::error_code error;
  std::vector<fs::path> paths;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (::fnmatch(pattern.c_str(), entry->path().filename().c_str(), FNM_PERIOD) != 0) continue;
    if (entry->is_regular_file(ignored)) paths.push_back(entry->path());
  }
  if (error)
    throw Error(ErrorCode::io, fmt::format("[batch] {}: {}", printable(folder.string()), error.message()));
  if (paths.empty()) {
    throw Error(ErrorCode::io, fmt::format("[batch] no file in {} matches '{}'", printable(folder.string()),
                                           printable(pattern)));
  }
  std::sort(paths.begin(), paths.end(), by_bytes);
  return paths;
}

std::vector<fs::path> batch_inputs(const Arguments& arguments) {
  const auto& inputs = arguments.texts("input");
  const auto folder = arguments.text("directory");
  if (inputs.empty() == !folder) {
    throw Error(ErrorCode::usage,
                folder ? "[options] give inputs or --directory, not both" : "[options] no input is given",
                "octavo batch models/*.safetensors, or octavo batch --directory models");
  }
  if (folder) return matching_files(*folder, arguments.text("pattern").value_or("*.safetensors"));
  std::vector<fs::path> paths;
  for (const std::string& input : inputs) {
    const std::vector<fs::path> expanded = expand(input);
    paths.insert(paths.end(), expanded.begin(), expanded.end());
  }
  return each_once(std::move(paths));
}

}  // namespace octavo::cli
