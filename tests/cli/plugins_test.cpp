// The list of plugins: what is there, what is hidden by another, what cannot be used and why.
#include "program.hpp"
#include "unit/temporary_folder.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>

using namespace octavo::test;

namespace {

nlohmann::json find(const nlohmann::json& document, const std::string& id, const std::string& state) {
  for (const auto& plugin : document["plugins"]) {
    if (plugin["id"] == id && plugin["state"] == state) return plugin;
  }
  return nullptr;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(plugins)

BOOST_AUTO_TEST_CASE(json_document) {
  const Outcome outcome = run({"plugins", "--json"});
  BOOST_TEST(outcome.code == 0);
  const auto document = outcome.json();
  BOOST_TEST(document["schema"] == "octavo.plugins/1");
  const auto plugin = find(document, "int8_tensorwise", "available");
  BOOST_REQUIRE(!plugin.is_null());
  BOOST_TEST(plugin["kind"] == "format");
  BOOST_TEST(plugin["manifest"] == true);
  BOOST_TEST(!plugin.contains("score"));
  BOOST_REQUIRE(plugin["params"].size() == 1u);
  BOOST_TEST(plugin["params"][0]["name"] == "scale");
  BOOST_TEST(plugin["params"][0]["choices"] == nlohmann::json({"row", "tensor"}));
}

BOOST_AUTO_TEST_CASE(probing) {
  const auto document = run({"plugins", "--probe", "--json", "--kind", "backend"}).json();
  for (const auto& plugin : document["plugins"]) BOOST_TEST(plugin["kind"] == "backend");
  const auto cpu = find(document, "cpu", "loaded");
  BOOST_REQUIRE(!cpu.is_null());
  BOOST_TEST(cpu["score"].get<int>() > 0);
  BOOST_TEST(!cpu["probe"].get<std::string>().empty());
}

BOOST_AUTO_TEST_CASE(one_with_its_parameters) {
  const Outcome outcome = run({"plugins", "int8_tensorwise"});
  BOOST_TEST(outcome.out.find("int8_tensorwise.scale") != std::string::npos);
  BOOST_TEST(outcome.out.find("row|tensor") != std::string::npos);
  const Outcome unknown = run({"plugins", "int8_tensorwize"});
  BOOST_TEST(unknown.code == 2);
  BOOST_TEST(unknown.error.find("did you mean int8_tensorwise?") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(refused_ones_say_why) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "formats");
  write_file(folder / "formats/broken.so", "this is no library");
  const Outcome outcome = run({"plugins", "--json", "--plugin-path", folder.path()});
  BOOST_TEST(outcome.code == 0);
  const auto plugin = find(outcome.json(), "broken", "refused");
  BOOST_REQUIRE(!plugin.is_null());
  BOOST_TEST(!plugin["reason"].get<std::string>().empty());
  BOOST_TEST(outcome.error.find("broken") != std::string::npos);                // the user named the place
  std::filesystem::rename(folder / "formats/broken.so", folder / "broken.so");  // of which no kind is known
  BOOST_TEST(run({"plugins", "broken", "--plugin-path", folder / "broken.so"})
                 .out.starts_with("broken\n  state  refused\n"));
  BOOST_TEST(run({"plugins", "--plugin-path", folder.path()}).out.find("refused") != std::string::npos);
  BOOST_TEST(run({"plugins", "--plugin-path", folder / "no such place"}).code == 2);
}

BOOST_AUTO_TEST_CASE(added_by_path) {
  for (const std::string& path :
       {std::string(OCTAVO_TEST_PLUGINS), std::string(OCTAVO_TEST_PLUGINS "/backends/wrong_backend.so")}) {
    BOOST_TEST(!find(run({"plugins", "--json", "--plugin_path", path}).json(), "wrong_backend", "available")
                    .is_null());
    const auto by_environment = run({"plugins", "--json"}, {{"OCTAVO_PLUGIN_PATH", path}}).json();
    BOOST_TEST(!find(by_environment, "wrong_backend", "available").is_null());
  }
}

BOOST_AUTO_TEST_SUITE_END()
