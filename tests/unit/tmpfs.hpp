// What a test of writing to tmpfs needs.
#pragma once

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <sys/stat.h>

namespace octavo::test {

inline constexpr const char* kTmpfs = "/dev/shm";

inline bool has_tmpfs() { return std::filesystem::is_directory(kTmpfs) && ::access(kTmpfs, W_OK) == 0; }

// For a test case that needs it: *boost::unit_test::precondition(on_tmpfs).
inline boost::test_tools::assertion_result on_tmpfs(boost::unit_test::test_unit_id) { return has_tmpfs(); }

// Of a file, on the file system.
inline uint64_t allocated_bytes(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) throw std::runtime_error("cannot look at " + path);
  return static_cast<uint64_t>(status.st_blocks) * 512;
}

}  // namespace octavo::test
