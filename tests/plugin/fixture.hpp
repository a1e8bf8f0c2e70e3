// Plugins for tests: where they are, in a catalog of their own, opened.
#pragma once

#include "base/error.hpp"
#include "plugin/catalog.hpp"
#include "plugin/host_services.hpp"

#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>

namespace octavo::plugin::test {

// A folder that goes away with the test.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

std::string read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, const std::string& bytes);

// The library <id>.so of a fixture.
std::filesystem::path fixture(const std::string& id);
// Copies it (its manifest too, if it has one) into `folder`, under the name of `id` or another.
std::filesystem::path copy_fixture(const std::string& id, const std::filesystem::path& folder,
                                   const std::string& name = {});
// Writes a manifest beside a library with the SDK's tool; its exit code.
int write_manifest(const std::filesystem::path& library);

// A catalog of these places, named by the user.
SearchPath places(const std::vector<std::filesystem::path>& paths);
// The only record of a catalog of one place.
Record only_record(const std::filesystem::path& path);

// Opens the only plugin at `path`.
const octavo_plugin& open_only(Catalog& catalog);

// Host services that all tests share, with the reference operations.
HostServices& services();

// For BOOST_CHECK_EXCEPTION: an Error with this code whose text contains `text`.
std::function<bool(const Error&)> error_with(ErrorCode code, const std::string& text);

// True if a library is mapped into this process.
bool is_mapped(const std::filesystem::path& path);

}  // namespace octavo::plugin::test
