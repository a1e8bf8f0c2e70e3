// What this machine offers, for `octavo doctor`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace octavo::cli {

struct CpuFacts {
  std::string name;
  unsigned usable = 1;                // CPUs that this process may use
  std::vector<std::string> features;  // "AVX2", "AVX-512F"
};

struct MemoryFacts {
  uint64_t total = 0;
  uint64_t available = 0;
  std::optional<uint64_t> limit;  // of the control group, if it is below the total
};

struct RoomFacts {
  uint64_t total = 0;
  uint64_t free = 0;
};

CpuFacts cpu_facts();
MemoryFacts memory_facts();
// Of the file system that holds `path`; nothing if there is no such path.
std::optional<RoomFacts> room_of(const std::filesystem::path& path);

// A temporary output whose run is gone: `.NAME.PID-RANDOM.part`, a file or a folder.
struct StalePart {
  std::filesystem::path path;
  int64_t process = 0;
  uint64_t bytes = 0;
};

// Those directly in `folder`, by name. Throws Error io if the folder cannot be read.
std::vector<StalePart> stale_parts(const std::filesystem::path& folder);

}  // namespace octavo::cli
