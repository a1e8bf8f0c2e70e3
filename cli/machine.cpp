#include "machine.hpp"

#include "base/cpus.hpp"
#include "base/error.hpp"

#include <fmt/format.h>

#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <sys/statvfs.h>
#include <system_error>

namespace octavo::cli {
namespace {

// The text after "KEY:" in a file of such lines; "" if there is none.
std::string line_value(const char* file, std::string_view key) {
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    const size_t colon = line.find(':');
    if (colon == line.npos || line.compare(0, key.size(), key) != 0) continue;
    const size_t value = line.find_first_not_of(" \t", colon + 1);
    return value == line.npos ? "" : line.substr(value);
  }
  return "";
}

uint64_t leading_number(const std::string& text) {
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

uint64_t kibibytes(std::string_view key) { return leading_number(line_value("/proc/meminfo", key)) * 1024; }

std::optional<uint64_t> group_limit() {
  std::ifstream stream("/sys/fs/cgroup/memory.max");
  std::string text;
  if (!(stream >> text) || text == "max") return std::nullopt;
  const uint64_t limit = leading_number(text);
  return limit == 0 ? std::nullopt : std::optional(limit);
}

std::vector<std::string> cpu_features() {
  std::vector<std::string> features;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("sse4.2")) features.emplace_back("SSE4.2");
  if (__builtin_cpu_supports("avx2")) features.emplace_back("AVX2");
  if (__builtin_cpu_supports("fma")) features.emplace_back("FMA");
  if (__builtin_cpu_supports("avx512f")) features.emplace_back("AVX-512F");
  if (__builtin_cpu_supports("avx512bw")) features.emplace_back("AVX-512BW");
  if (__builtin_cpu_supports("avx512vl")) features.emplace_back("AVX-512VL");
  if (__builtin_cpu_supports("avx512vnni")) features.emplace_back("AVX-512VNNI");
#endif
  return features;
}

// The process in `.NAME.PID-RANDOM.part`; 0 if the name is not of that form.
int64_t process_of(const std::string& name) {
  constexpr std::string_view kEnding = ".part";
  if (!name.starts_with(".") || !name.ends_with(kEnding)) return 0;
  const size_t end = name.size() - kEnding.size();
  const size_t dot = name.rfind('.', end - 1);
  const size_t dash = name.find('-', dot + 1);
  if (dot == name.npos || dot == 0 || dash == name.npos || dash > end) return 0;
  int64_t process = 0;
  const auto [stop, problem] = std::from_chars(name.data() + dot + 1, name.data() + dash, process);
  return problem == std::errc{} && stop == name.data() + dash ? process : 0;
}

bool is_running(int64_t process) { return kill(static_cast<pid_t>(process), 0) == 0 || errno == EPERM; }

uint64_t bytes_of_path(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) return std::filesystem::file_size(path, ignored);
  uint64_t sum = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path, ignored)) {
    if (entry.is_regular_file(ignored)) sum += entry.file_size(ignored);
  }
  return sum;
}

}  // namespace

CpuFacts cpu_facts() { return {line_value("/proc/cpuinfo", "model name"), usable_cpus(), cpu_features()}; }

MemoryFacts memory_facts() {
  MemoryFacts facts{kibibytes("MemTotal"), kibibytes("MemAvailable"), group_limit()};
  if (facts.limit && *facts.limit >= facts.total) facts.limit.reset();
  return facts;
}

std::optional<RoomFacts> room_of(const std::filesystem::path& path) {
  struct statvfs facts {};
  if (statvfs(path.c_str(), &facts) != 0) return std::nullopt;
  return RoomFacts{facts.f_blocks * facts.f_frsize, facts.f_bavail * facts.f_frsize};
}

std::vector<StalePart> stale_parts(const std::filesystem::path& folder) {
  std::vector<StalePart> parts;
  try {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const int64_t process = process_of(entry.path().filename().string());
      if (process == 0 || is_running(process)) continue;
      parts.push_back({entry.path(), process, bytes_of_path(entry.path())});
    }
  } catch (const std::filesystem::filesystem_error& error) {
    throw Error(ErrorCode::io,
                fmt::format("[doctor] {}: {}", printable(folder.string()), error.code().message()));
  }
  std::sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return parts;
}

}  // namespace octavo::cli
