// The scripts for shells: bash's is run, the others are looked at.
#include "command.hpp"
#include "program.hpp"
#include "unit/temporary_folder.hpp"

#include <boost/test/unit_test.hpp>

using namespace octavo::test;

namespace {

// What bash proposes for the last of `words`.
std::string proposals(const std::string& words, int last) {
  return run_shell("source <(\"$octavo\" completion bash); COMP_WORDS=(octavo " + words +
                   "); COMP_CWORD=" + std::to_string(last) + "; _octavo; echo \"${COMPREPLY[@]}\"")
      .out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(completion)

BOOST_AUTO_TEST_CASE(bash) {
  BOOST_TEST(proposals("veri", 1) == "verify\n");
  BOOST_TEST(proposals("verify --exp", 2) == "--explain\n");
  BOOST_TEST(proposals("verify --color a", 3) == "auto always\n");
  BOOST_TEST(proposals("completion z", 2) == "zsh\n");
  const TemporaryFolder folder;
  write_file(folder / "model.safetensors", "");
  const std::string begin = folder / "mod";
  BOOST_TEST(proposals("inspect " + begin, 2) == begin + "el.safetensors\n");
}

BOOST_AUTO_TEST_CASE(ids_of_plugins) {
  BOOST_TEST(proposals("convert --format int8_t", 3) == "int8_tensorwise\n");
  BOOST_TEST(proposals("plan --optimizer near", 3) == "nearest\n");
  BOOST_TEST(proposals("convert --model zim", 3).starts_with("zimage"));
  BOOST_TEST(proposals("convert --model non", 3) == "none\n");
  BOOST_TEST(proposals("convert --fallback int8", 3).starts_with("int8 int8_"));
  BOOST_TEST(proposals("convert --device cp", 3) == "cpu\n");
  BOOST_TEST(proposals("plugins int8_t", 2) == "int8_tensorwise\n");
  for (const char* shell : {"bash", "zsh", "fish"}) {
    BOOST_TEST(run({"completion", shell}).out.find("wrong_backend") == std::string::npos);
    const std::string script = run({"completion", shell, "--plugin-path", OCTAVO_TEST_PLUGINS}).out;
    BOOST_TEST(script.find("wrong_backend") != std::string::npos, shell);
  }
}

BOOST_AUTO_TEST_CASE(every_shell_has_every_option) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Outcome outcome = run({"completion", shell});
    BOOST_TEST(outcome.code == 0);
    for (const auto& command : octavo::cli::commands()) {
      BOOST_TEST(outcome.out.find(command.name) != std::string::npos, shell << " " << command.name);
      for (const auto& option : octavo::cli::all_options(command)) {
        const std::string word = std::string(shell) == "fish" ? "-l " + option.name : "--" + option.name;
        BOOST_TEST(outcome.out.find(word) != std::string::npos, shell << " " << word);
      }
    }
  }
  BOOST_TEST(run({"completion", "tcsh"}).code == 2);
}

BOOST_AUTO_TEST_CASE(json) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const auto document = run({"completion", shell, "--json"}).json();
    BOOST_TEST(document["schema"] == "octavo.completion/1");
    BOOST_TEST(document["shell"] == shell);
    BOOST_TEST(document["script"] == run({"completion", shell}).out);
  }
}

BOOST_AUTO_TEST_SUITE_END()
