// How failures look: exit codes, the two streams, hints, JSON.
#include "checkpoint_file.hpp"
#include "program.hpp"

#include <boost/test/unit_test.hpp>

using namespace octavo::test;

BOOST_AUTO_TEST_SUITE(errors)

BOOST_AUTO_TEST_CASE(no_command) {
  const Outcome outcome = run({});
  BOOST_TEST(outcome.code == 2);
  BOOST_TEST(outcome.out == "");
  BOOST_TEST(outcome.error.starts_with("octavo: error: [command] no command was given\nhint: "));
}

BOOST_AUTO_TEST_CASE(no_command_and_an_unknown_option) {
  const Outcome outcome = run({"--versoin"});
  BOOST_TEST(outcome.code == 2);
  BOOST_TEST(outcome.error ==
             "octavo: error: [options] there is no option '--versoin'\nhint: did you mean --version?\n");
  BOOST_TEST(run({"--json"}).error.find("no command was given") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(unknown_command_gets_the_nearest_name) {
  const Outcome outcome = run({"inspekt", "x.safetensors"});
  BOOST_TEST(outcome.code == 2);
  BOOST_TEST(outcome.error.find("no command 'inspekt'") != std::string::npos);
  BOOST_TEST(outcome.error.find("hint: did you mean inspect?") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(unknown_option_gets_the_nearest_name) {
  const Outcome outcome = run({"verify", "x.safetensors", "--explian"});
  BOOST_TEST(outcome.code == 2);
  BOOST_TEST(outcome.out == "");
  BOOST_TEST(outcome.error.find("no option '--explian'") != std::string::npos);
  BOOST_TEST(outcome.error.find("hint: did you mean --explain?") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(exit_codes_of_inputs) {
  const TemporaryFolder folder;
  write_file(folder / "short.safetensors", "abc");
  write_file(folder / "archive.safetensors", "PK\x03\x04" + std::string(100, 'x'));
  BOOST_TEST(run({"inspect", folder / "missing.safetensors"}).code == 5);
  BOOST_TEST(run({"inspect", folder / "short.safetensors"}).code == 3);
  BOOST_TEST(run({"inspect", folder / "archive.safetensors"}).code == 4);
  BOOST_TEST(run({"inspect"}).code == 2);
  BOOST_TEST(run({"inspect", "a", "b"}).code == 2);
}

BOOST_AUTO_TEST_CASE(json_of_an_error) {
  const TemporaryFolder folder;
  write_file(folder / "short.safetensors", "abc");
  const Outcome outcome = run({"inspect", folder / "short.safetensors", "--json"});
  BOOST_TEST(outcome.code == 3);
  const auto json = outcome.json();
  BOOST_TEST(json["schema"] == "octavo.inspect/1");
  BOOST_TEST(json["error"]["code"] == 3);
  BOOST_TEST(json["error"]["message"].get<std::string>().find("short.safetensors") != std::string::npos);
  BOOST_TEST(json["error"].contains("hint"));
  BOOST_TEST(outcome.error.starts_with("octavo: error: "));
}

BOOST_AUTO_TEST_CASE(json_of_a_wrong_command_line) {
  const auto json = run({"compare", "only-one", "--json"}).json();
  BOOST_TEST(json["schema"] == "octavo.compare/1");
  BOOST_TEST(json["error"]["code"] == 2);
}

BOOST_AUTO_TEST_CASE(quiet) {
  BOOST_TEST(run({"inspect", "missing", "-q"}).error.starts_with("octavo: error: "));
  const Outcome silent = run({"inspect", "missing", "-qq"});
  BOOST_TEST(silent.code == 5);
  BOOST_TEST(silent.error == "");
}

BOOST_AUTO_TEST_CASE(log_file) {
  const TemporaryFolder folder;
  const Outcome outcome = run({"inspect", "missing", "-qq", "--log-file", folder / "log"});
  BOOST_TEST(outcome.error == "");
  BOOST_TEST(read_file(folder / "log").find("missing") != std::string::npos);
  BOOST_TEST(run({"inspect", "missing", "--log-file", folder / "no" / "log"}).code == 5);
}

BOOST_AUTO_TEST_CASE(full_and_closed_standard_output) {
  const TemporaryFolder folder;
  write_checkpoint(folder / "a.safetensors", {f32("a", {1}, {1})});
  const std::string file = folder / "a.safetensors";
  for (const char* json : {"", " --json"})
    BOOST_TEST(run_shell("\"$octavo\" inspect " + file + json + " > /dev/full").code == 5, json);
  // The first error is what the exit code tells.
  BOOST_TEST(run_shell("\"$octavo\" inspect --json > /dev/full").code == 2);
  // The reader of the pipe goes away before anything is written: no error.
  const Outcome closed =
      run_shell("(sleep 0.2; \"$octavo\" inspect " + file + "; echo $? >&2) | true; sleep 0.5");
  BOOST_TEST(closed.error == "0\n");
}

BOOST_AUTO_TEST_CASE(names_from_files_cannot_steer_the_terminal) {
  const TemporaryFolder folder;
  write_checkpoint(folder / "a.safetensors", {f32("evil\x1b[2Jname", {1}, {1})},
                   {{"k\x1b", "v\x1b]0;x\x07"}});
  const Outcome text = run({"inspect", folder / "a.safetensors"});
  BOOST_TEST(text.code == 0);
  BOOST_TEST(text.out.find('\x1b') == std::string::npos);
  BOOST_TEST(text.out.find("evil\\x1b[2Jname") != std::string::npos);
  BOOST_TEST(run({"inspect", folder / "a.safetensors", "--json"}).out.find('\x1b') == std::string::npos);
  const Outcome unknown = run({"inspect", "no\x1b[2Jfile"});
  BOOST_TEST(unknown.error.find('\x1b') == std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
