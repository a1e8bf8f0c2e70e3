#include "plugin/manifest.hpp"

#include "fixture.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

namespace octavo::plugin {
namespace {

using test::copy_fixture;
using test::error_with;
using test::TemporaryFolder;
using Json = nlohmann::json;

// A plugin with parameters, copied, with its manifest written by the SDK's tool.
struct Written {
  Written() : library(copy_fixture("throws_sdk", folder.path())), manifest(folder / "throws_sdk.json") {
    BOOST_REQUIRE_EQUAL(test::write_manifest(library), 0);
    json = Json::parse(test::read_file(manifest));
  }
  void rewrite() const { test::write_file(manifest, json.dump()); }
  std::string reason() const {
    const Record record = test::only_record(library);
    BOOST_TEST((record.state == State::refused));
    return record.reason;
  }

  TemporaryFolder folder;
  std::filesystem::path library;
  std::filesystem::path manifest;
  Json json;
};

BOOST_AUTO_TEST_SUITE(manifest)

BOOST_FIXTURE_TEST_CASE(it_says_what_the_descriptor_says, Written) {
  BOOST_TEST(json["schema"] == "octavo.plugin/1");
  BOOST_TEST(json["kind"] == "format");
  BOOST_TEST(json["id"] == "throws_sdk");
  BOOST_TEST(json["version"] == "1.0");
  BOOST_TEST(json["links"] == "");
  BOOST_TEST(json["abi"]["major"] == 1);
  BOOST_TEST(json["library_bytes"] == std::filesystem::file_size(library));
  BOOST_REQUIRE_EQUAL(json["params"].size(), 1u);
  BOOST_TEST(json["params"][0]["name"] == "create");
  BOOST_TEST(json["params"][0]["type"] == "choice");
  BOOST_TEST((json["params"][0]["choices"] == Json{"no", "throws"}));

  const auto read = read_manifest(library);
  BOOST_REQUIRE(read.has_value());
  BOOST_TEST(read->descriptor.params.at(0).help == "whether the constructor throws");
}

BOOST_FIXTURE_TEST_CASE(listing_does_not_open_the_library, Written) {
  Catalog catalog(test::places({library}));
  BOOST_TEST((catalog.records().at(0).state == State::available));
  BOOST_TEST(catalog.records().at(0).has_manifest);
  BOOST_TEST(!test::is_mapped(library));
  catalog.open(OCTAVO_KIND_FORMAT, "throws_sdk");
  BOOST_TEST(test::is_mapped(library));
  BOOST_TEST((catalog.records().at(0).state == State::loaded));
}

BOOST_FIXTURE_TEST_CASE(a_library_of_another_size_makes_it_stale, Written) {
  test::write_file(library, test::read_file(library) + "more");
  BOOST_TEST(reason().find("its manifest is stale: it describes a library of ") == 0, reason());
}

BOOST_FIXTURE_TEST_CASE(a_library_that_says_something_else_makes_it_stale, Written) {
  json["version"] = "0.9";
  rewrite();
  Catalog catalog(test::places({library}));
  BOOST_TEST((catalog.records().at(0).state == State::available));
  BOOST_CHECK_EXCEPTION(
      catalog.open(OCTAVO_KIND_FORMAT, "throws_sdk"), Error,
      error_with(ErrorCode::unsupported,
                 "its manifest is stale: its version is '0.9' in the manifest and '1.0' in the library"));
  BOOST_TEST((catalog.records().at(0).state == State::refused));
  BOOST_TEST(catalog.records().at(0).hint.find("octavo-manifest") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(the_version_is_checked_before_the_library_is_opened, Written) {
  json["abi"]["major"] = 3;
  rewrite();
  BOOST_TEST(reason().find("built for version 3.0 of the plugin boundary") != std::string::npos, reason());
  BOOST_TEST(!test::is_mapped(library));
}

BOOST_FIXTURE_TEST_CASE(its_descriptor_passes_the_same_checks, Written) {
  json["params"][0]["default"] = "perhaps";
  rewrite();
  BOOST_TEST(reason().find("'create' is 'perhaps', one of no, throws was expected") != std::string::npos,
             reason());
  json["id"] = "other";
  rewrite();
  BOOST_TEST(reason().find("its id is 'other', but its file is named 'throws_sdk'") != std::string::npos,
             reason());
}

BOOST_FIXTURE_TEST_CASE(what_is_no_manifest_is_refused, Written) {
  const auto refused = [&](const std::string& text, const std::string& part) {
    test::write_file(manifest, text);
    const std::string found = reason();
    BOOST_TEST(found.find(part) != std::string::npos, found);
  };
  refused("", "its manifest is not JSON");
  refused("{", "its manifest is not JSON");
  refused("\xff\xfe", "its manifest is not JSON");
  refused("{}", "its manifest is incomplete");
  refused("[]", "its manifest is incomplete");
  refused(R"({"schema": "octavo.plugin/2"})", "its manifest is not of the schema octavo.plugin/1");
  refused(std::string(100000, '['), "nests deeper than 8 levels");
  refused(std::string(2 << 20, ' '), "its manifest is larger than 1048576 bytes");
  json["flags"] = "many";
  refused(json.dump(), "its manifest is incomplete");
}

BOOST_AUTO_TEST_CASE(the_tool_refuses_what_no_host_takes) {
  for (const char* id : {"no_symbol", "null_descriptor", "null_id", "other_id", "short_struct"}) {
    const TemporaryFolder folder;
    const auto library = copy_fixture(id, folder.path());
    BOOST_TEST(test::write_manifest(library) == 1, id);
    BOOST_TEST(!read_manifest(library).has_value(), id);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::plugin
