// At most one run writes to an output name.
#pragma once

#include "base/file.hpp"

#include <filesystem>
#include <string>

namespace octavo::checkpoint {

// The name of a file beside `final_path` that belongs to it: `.NAME<suffix>`. A name too long for that is cut
// and made unique by its hash.
std::filesystem::path sibling(const std::filesystem::path& final_path, const std::string& suffix);

// `.PID-RANDOM.part`, a new one with every call.
std::string part_suffix();

// The file that OutputLock locks for an output.
std::filesystem::path lock_path(const std::filesystem::path& final_path);

// Holds an advisory lock on `.NAME.lock` beside the output, and removes that file when it is let go. A file
// that a killed run left behind carries no lock and is taken over.
class OutputLock {
 public:
  OutputLock() = default;
  OutputLock(const OutputLock&) = delete;
  OutputLock& operator=(const OutputLock&) = delete;
  ~OutputLock() { release(); }

  // Throws Error io: another run holds it, or the folder cannot be written.
  void take(const std::filesystem::path& final_path);
  void release() noexcept;

 private:
  File file_;
};

}  // namespace octavo::checkpoint
