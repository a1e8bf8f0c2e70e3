// `doctor` finds what is wrong: a backend that computes wrongly, and what killed runs left behind.
#include "machine.hpp"
#include "program.hpp"
#include "unit/temporary_folder.hpp"

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <map>
#include <sys/wait.h>

using namespace octavo::test;

namespace {

nlohmann::json backend(const nlohmann::json& document, const std::string& id) {
  for (const auto& entry : document["backends"]) {
    if (entry["id"] == id) return entry;
  }
  return nullptr;
}

std::map<std::string, std::string> outcomes(const nlohmann::json& backend) {
  std::map<std::string, std::string> found;
  for (const auto& operation : backend["operations"]) found[operation["name"]] = operation["outcome"];
  return found;
}

int64_t process_that_is_gone() {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  int status = 0;
  waitpid(child, &status, 0);
  return child;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(doctor)

BOOST_AUTO_TEST_CASE(this_machine) {
  const TemporaryFolder folder;
  const Outcome outcome = run({"doctor", folder.path(), "--json"});
  BOOST_TEST_INFO(outcome.out);
  BOOST_TEST(outcome.code == 0);
  const auto document = outcome.json();
  BOOST_TEST(document["schema"] == "octavo.doctor/1");
  BOOST_TEST(document["version"] == OCTAVO_VERSION);
  BOOST_TEST(document["cpu"]["usable"].get<int>() >= 1);
  BOOST_TEST(document["memory"]["total"].get<uint64_t>() > document["memory"]["available"].get<uint64_t>());
  const auto cpu = backend(document, "cpu");
  BOOST_REQUIRE(!cpu.is_null());
  BOOST_TEST(cpu["ok"] == true);
  BOOST_TEST(cpu["operations"].size() >= 12u);
  BOOST_TEST(document["stale_parts"].size() == 0u);
}

BOOST_AUTO_TEST_CASE(every_instruction_set) {
  const TemporaryFolder folder;
  BOOST_TEST(run({"doctor", folder.path()}, {{"OCTAVO_SIMD", "scalar"}}).code == 0);
}

BOOST_AUTO_TEST_CASE(a_backend_that_is_wrong) {
  const TemporaryFolder folder;
  const Outcome outcome = run({"doctor", folder.path(), "--json", "--plugin-path", OCTAVO_TEST_PLUGINS});
  BOOST_TEST(outcome.code == 6);
  BOOST_TEST(outcome.json()["ok"] == false);
  const auto wrong = backend(outcome.json(), "wrong_backend");
  BOOST_REQUIRE(!wrong.is_null());
  BOOST_TEST(wrong["ok"] == false);
  const auto found = outcomes(wrong);
  BOOST_TEST(found.at("absmax") == "wrong");
  BOOST_TEST(found.at("gram") == "failed");
  BOOST_TEST(found.at("matmul") == "missing");
}

BOOST_AUTO_TEST_CASE(what_killed_runs_left) {
  const TemporaryFolder folder;
  const int64_t gone = process_that_is_gone();
  const std::string stale = fmt::format(".model.safetensors.{}-0123abcd.part", gone);
  write_file(folder / stale, "12345");
  write_file(folder / fmt::format(".model.safetensors.{}-0123abcd.part", getpid()), "x");  // at work
  write_file(folder / "model.safetensors.part", "x");                                      // somebody else's
  write_file(folder / fmt::format(".model.safetensors.{}-0123abcd.partial", gone), "x");
  const auto parts = octavo::cli::stale_parts(folder.path());
  BOOST_REQUIRE(parts.size() == 1u);
  BOOST_TEST(parts[0].path.filename().string() == stale);
  BOOST_TEST(parts[0].process == gone);
  BOOST_TEST(parts[0].bytes == 5u);
  const Outcome outcome = run({"doctor", folder.path()});
  BOOST_TEST(outcome.code == 0);
  BOOST_TEST(outcome.out.find(stale) != std::string::npos);
  BOOST_TEST(run({"doctor", folder / "no such folder"}).code == 5);
}

BOOST_AUTO_TEST_SUITE_END()
