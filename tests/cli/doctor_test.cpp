// `doctor` finds what is wrong: a backend that computes wrongly, and what killed runs left behind.
#include "checkpoint_file.hpp"
#include "machine.hpp"
#include "program.hpp"
#include "unit/temporary_folder.hpp"

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <algorithm>
#include <filesystem>
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

// A program that finds no plugin, or only those that cannot work.
BOOST_AUTO_TEST_CASE(no_backend_can_work) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "bin");
  const std::string alone = folder / "bin" / "octavo";
  std::filesystem::copy_file(OCTAVO_PROGRAM, alone);
  const Outcome nothing = run({"doctor", folder.path(), "--json"}, {}, alone);
  BOOST_TEST(nothing.code == 6);
  BOOST_TEST(nothing.json()["ok"] == false);

  const std::string plugins = std::filesystem::path(OCTAVO_PROGRAM).parent_path() / "../lib/octavo/plugins";
  std::vector<std::string> arguments = {"convert",  folder / "m.safetensors", "--device", "auto",
                                        "--format", "int8_tensorwise",        "--model",  "none"};
  for (const std::string& path : {std::string(OCTAVO_TEST_PLUGINS "/backends/absent_backend.so"),
                                  std::string(OCTAVO_TEST_PLUGINS "/backends/unusable_backend.so"),
                                  plugins + "/formats", plugins + "/optimizers/nearest.so"}) {
    arguments.insert(arguments.end(), {"--plugin-path", path});
  }
  write_checkpoint(folder / "m.safetensors", {f32("a.weight", {8, 64}, std::vector<float>(512, 1.0F))});
  const Outcome refused = run(arguments, {}, alone);
  BOOST_TEST(refused.code == 6);
  for (const char* words : {"absent_backend is not used: no such card",
                            "unusable_backend is not used: the card is too old", "hint: octavo doctor"})
    BOOST_TEST(refused.error.find(words) != std::string::npos, refused.error);
}

BOOST_AUTO_TEST_CASE(absent_hardware_is_no_warning) {
  const TemporaryFolder folder;
  write_checkpoint(folder / "m.safetensors", {f32("a.weight", {8, 64}, std::vector<float>(512, 1.0F))});
  const std::string absent = "absent_backend is not used: no such card";
  const std::string unusable = "unusable_backend is not used: the card is too old";
  std::vector<std::string> arguments = {
      "convert",       folder / "m.safetensors", "--device", "auto", "--force",
      "--format",      "int8_tensorwise",        "--model",  "none", "--json",
      "--plugin-path", OCTAVO_TEST_PLUGINS};
  const Outcome outcome = run(arguments);
  BOOST_TEST(outcome.code == 0);
  const auto notes = outcome.json()["notes"].get<std::vector<std::string>>();
  for (const std::string& note : {absent, unusable})
    BOOST_TEST(std::count(notes.begin(), notes.end(), note) == 1);
  BOOST_TEST(outcome.error.find("warning: " + unusable) != std::string::npos, outcome.error);
  BOOST_TEST(outcome.error.find(absent) == std::string::npos, outcome.error);
  arguments.emplace_back("-v");
  BOOST_TEST(run(arguments).error.find(absent) != std::string::npos);
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
