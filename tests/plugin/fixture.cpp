#include "fixture.hpp"

#include "reference/operations.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <sys/wait.h>

namespace octavo::plugin::test {

namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (fs::temp_directory_path() / "octavo-plugin-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

fs::path fixture(const std::string& id) { return fs::path(OCTAVO_FIXTURES) / (id + ".so"); }

fs::path copy_fixture(const std::string& id, const fs::path& folder, const std::string& name) {
  const std::string stem = name.empty() ? id : name;
  fs::create_directories(folder);
  fs::copy_file(fixture(id), folder / (stem + ".so"));
  const fs::path manifest = fixture(id).replace_extension(".json");
  if (fs::exists(manifest)) fs::copy_file(manifest, folder / (stem + ".json"));
  return folder / (stem + ".so");
}

int write_manifest(const fs::path& library) {
  const std::string command = std::string(OCTAVO_MANIFEST_TOOL) + " '" + library.string() + "' 2>/dev/null";
  return WEXITSTATUS(std::system(command.c_str()));
}

SearchPath places(const std::vector<fs::path>& paths) {
  SearchPath made;
  for (const fs::path& path : paths) made.roots.push_back({path, true});
  return made;
}

Record only_record(const fs::path& path) {
  const std::vector<Record> records = Catalog(places({path})).records();
  BOOST_REQUIRE_EQUAL(records.size(), 1u);
  return records[0];
}

const octavo_plugin& open_only(Catalog& catalog) {
  const Record record = catalog.records().at(0);
  BOOST_REQUIRE_MESSAGE(is_usable(record), record.path.string() + ": " + record.reason);
  return catalog.open(*record.kind, record.id);
}

HostServices& services() {
  static HostServices made(reference::operations());
  return made;
}

std::function<bool(const Error&)> error_with(ErrorCode code, const std::string& text) {
  return [code, text](const Error& error) {
    const bool right = error.code() == code && std::string(error.what()).find(text) != std::string::npos;
    if (!right) BOOST_TEST_MESSAGE("code " << static_cast<int>(error.code()) << ": " << error.what());
    return right;
  };
}

bool is_mapped(const fs::path& path) {
  return read_file("/proc/self/maps").find(fs::canonical(path).string()) != std::string::npos;
}

}  // namespace octavo::plugin::test
