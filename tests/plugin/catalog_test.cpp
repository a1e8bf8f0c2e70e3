#include "fixture.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdlib>

namespace octavo::plugin {
namespace {

using test::copy_fixture;
using test::error_with;
using test::places;
using test::TemporaryFolder;

BOOST_AUTO_TEST_SUITE(catalog)

BOOST_AUTO_TEST_CASE(a_folder_holds_plugins_or_folders_of_kinds) {
  const TemporaryFolder folder;
  copy_fixture("valid", folder.path());
  copy_fixture("throws_raw", folder / "formats");
  copy_fixture("stateful", folder / "optimizers");
  copy_fixture("opinionated", folder / "models");
  copy_fixture("lane_backend", folder / "backends");
  copy_fixture("newer_tail", folder / "elsewhere");
  test::write_file(folder / "notes.txt", "not a candidate");
  Catalog catalog(places({folder.path()}));
  std::vector<std::string> found;
  for (const Record& record : catalog.records()) {
    BOOST_TEST((record.state == State::loaded), record.reason);
    found.push_back(std::string(kind_name(*record.kind)) + " " + record.id);
  }
  BOOST_TEST(found == (std::vector<std::string>{"format valid", "optimizer stateful", "format throws_raw",
                                                "model opinionated", "backend lane_backend"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_programs_own_folder_holds_folders_of_kinds_only) {
  const TemporaryFolder folder;
  copy_fixture("valid", folder / "lib" / "octavo" / "plugins");
  copy_fixture("throws_raw", folder / "lib" / "octavo" / "plugins" / "formats");
  const SearchPath path = search_path({}, "", folder / "bin" / "octavo");
  const std::vector<Record> records = Catalog(path).records();
  BOOST_REQUIRE_EQUAL(records.size(), 1u);
  BOOST_TEST(records[0].id == "throws_raw");
  BOOST_TEST(!records[0].named_by_user);
}

BOOST_AUTO_TEST_CASE(the_first_one_found_wins) {
  const TemporaryFolder folder;
  const auto first = copy_fixture("valid", folder / "a");
  const auto second = copy_fixture("valid", folder / "b" / "formats");
  Catalog catalog(places({folder / "a", folder / "b"}));
  const std::vector<Record> records = catalog.records();
  BOOST_REQUIRE_EQUAL(records.size(), 2u);
  BOOST_TEST((records[0].state == State::loaded));
  BOOST_TEST((records[1].state == State::shadowed));
  BOOST_TEST(records[1].reason == "'" + first.string() + "' was found before");
  BOOST_TEST(catalog.find(OCTAVO_KIND_FORMAT, "valid").path == first);
  BOOST_TEST(second != first);
}

BOOST_AUTO_TEST_CASE(a_refused_plugin_is_not_silently_replaced) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "a" / "formats");
  test::write_file(folder / "a" / "formats" / "valid.so", "broken");
  copy_fixture("valid", folder / "b" / "formats");
  Catalog catalog(places({folder / "a", folder / "b"}));
  BOOST_CHECK_EXCEPTION(catalog.open(OCTAVO_KIND_FORMAT, "valid"), Error,
                        error_with(ErrorCode::unsupported, "cannot be used: it is not a shared library"));
  BOOST_REQUIRE_EQUAL(catalog.notes().size(), 1u);
  BOOST_TEST(catalog.notes()[0].find("valid.so' is refused: it is not a shared library") !=
             std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_link_to_itself_is_one_refused_plugin) {
  const TemporaryFolder folder;
  copy_fixture("valid", folder.path());
  std::filesystem::create_symlink(folder / "loop.so", folder / "loop.so");
  const std::vector<Record> records = Catalog(places({folder.path()})).records();
  BOOST_REQUIRE_EQUAL(records.size(), 2u);
  BOOST_TEST(records[0].id == "loop");
  BOOST_TEST((records[0].state == State::refused));
  BOOST_TEST((records[1].state == State::loaded), records[1].reason);
  // Also where it is the place that was named.
  BOOST_TEST((test::only_record(folder / "loop.so").state == State::refused));
}

BOOST_AUTO_TEST_CASE(an_unknown_id_names_near_ones) {
  Catalog catalog(places({test::fixture("valid"), test::fixture("lane_backend")}));
  BOOST_CHECK_EXCEPTION(catalog.open(OCTAVO_KIND_FORMAT, "vaild"), Error,
                        error_with(ErrorCode::usage, "there is no format 'vaild'; did you mean 'valid'?"));
  BOOST_CHECK_EXCEPTION(catalog.find(OCTAVO_KIND_BACKEND, "valid"), Error,
                        error_with(ErrorCode::usage, "there is no backend 'valid'"));
  try {
    catalog.find(OCTAVO_KIND_BACKEND, "nothing_like_it");
    BOOST_ERROR("it was found");
  } catch (const Error& error) {
    BOOST_TEST(std::string(error.what()).find("did you mean") == std::string::npos);
    BOOST_TEST(error.hint() == "there is lane_backend");
  }
}

BOOST_AUTO_TEST_CASE(a_file_of_unknown_kind_explains_itself_when_asked_for) {
  const TemporaryFolder folder;
  test::write_file(folder / "mine.so", "");
  Catalog catalog(places({folder / "mine.so"}));
  BOOST_TEST(!catalog.records().at(0).kind.has_value());
  BOOST_CHECK_EXCEPTION(catalog.open(OCTAVO_KIND_MODEL, "mine"), Error,
                        error_with(ErrorCode::usage, "mine.so' is refused: it is empty (0 bytes)"));
}

BOOST_AUTO_TEST_CASE(it_is_opened_once) {
  Catalog catalog(places({test::fixture("valid")}));
  BOOST_TEST(&catalog.open(OCTAVO_KIND_FORMAT, "valid") == &catalog.open(OCTAVO_KIND_FORMAT, "valid"));
}

BOOST_AUTO_TEST_CASE(a_second_build_of_a_library_is_refused_before_it_is_mapped) {
  const TemporaryFolder folder;
  for (const char* id : {"torch_a", "torch_b", "torch_same"}) copy_fixture(id, folder.path());
  Catalog catalog(places({folder.path()}));
  for (const Record& record : catalog.records())
    BOOST_TEST((record.state == State::available), record.reason);
  catalog.open(OCTAVO_KIND_FORMAT, "torch_a");
  BOOST_CHECK_EXCEPTION(catalog.open(OCTAVO_KIND_FORMAT, "torch_b"), Error,
                        error_with(ErrorCode::unsupported,
                                   "it links libtorch 2.12.1, but 'torch_a' has loaded libtorch 2.11.0"));
  BOOST_TEST(!test::is_mapped(folder / "torch_b.so"));
  BOOST_CHECK_NO_THROW(catalog.open(OCTAVO_KIND_FORMAT, "torch_same"));
}

BOOST_AUTO_TEST_CASE(the_search_path_has_an_order) {
  const TemporaryFolder folder;
  for (const char* name : {"option", "first", "second", "lib"})
    std::filesystem::create_directory(folder / name);
  std::filesystem::create_directories(folder / "lib" / "octavo" / "plugins");
  const std::string environment = (folder / "first").string() +
                                  "::relative/folder:" + (folder / "missing").string() + ":" +
                                  (folder / "second").string();
  const SearchPath path = search_path({(folder / "option").string()}, environment, folder / "bin" / "octavo");
  std::vector<std::string> found;
  for (const SearchRoot& root : path.roots)
    found.push_back(root.path.lexically_relative(folder.path()).string());
  BOOST_TEST(found == (std::vector<std::string>{"option", "first", "second", "lib/octavo/plugins"}),
             boost::test_tools::per_element());
  BOOST_REQUIRE_EQUAL(path.notes.size(), 3u);
  BOOST_TEST(path.notes[0].find("'' is left out, an absolute path was expected") != std::string::npos);
  BOOST_TEST(path.notes[1].find("'relative/folder' is left out") != std::string::npos);
  BOOST_TEST(path.notes[2].find("it does not exist") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_current_folder_is_not_searched) {
  const TemporaryFolder folder;
  copy_fixture("valid", folder / "formats");
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  const auto records = Catalog(search_path({}, ":.", folder / "nowhere" / "bin" / "octavo")).records();
  std::filesystem::current_path(before);
  BOOST_TEST(records.empty());
}

BOOST_AUTO_TEST_CASE(a_place_on_the_command_line_must_exist) {
  BOOST_CHECK_EXCEPTION(search_path({"/nowhere/at/all"}, "", "/bin/octavo"), Error,
                        error_with(ErrorCode::usage, "--plugin-path '/nowhere/at/all' does not exist"));
  BOOST_CHECK_EXCEPTION(search_path({""}, "", "/bin/octavo"), Error,
                        error_with(ErrorCode::usage, "does not exist"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::plugin
