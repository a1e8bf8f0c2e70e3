// What a second signal removes, seen from outside: a child process watches files and is told twice to stop.
#include "run/signals.hpp"

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sys/wait.h>

namespace octavo::run {
namespace {

using Paths = std::vector<std::string>;

struct Folder {
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "octavo-signals-XXXXXX").string();
    BOOST_REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  ~Folder() { std::filesystem::remove_all(path); }

  std::string file(const std::string& name) const {
    std::ofstream(path / name) << "half written";
    return (path / name).string();
  }

  std::filesystem::path path;
};

// Watches the lists one after the other, gets two signals, and returns the exit status.
int stop_twice(const std::vector<Paths>& lists) {
  const pid_t child = fork();
  if (child == 0) {
    const StopSignals signals;
    for (const Paths& paths : lists) StopSignals::watch(paths);
    raise(SIGTERM);
    raise(SIGTERM);
    _exit(1);
  }
  int status = 0;
  BOOST_REQUIRE(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

BOOST_FIXTURE_TEST_SUITE(stop_signals, Folder)

BOOST_AUTO_TEST_CASE(the_second_removes_the_last_list) {
  const Paths first = {file("a")}, second = {file("b"), file("c")};
  BOOST_TEST(stop_twice({first, second}) == 143);
  BOOST_TEST(std::filesystem::exists(first[0]));
  BOOST_TEST(!std::filesystem::exists(second[0]));
  BOOST_TEST(!std::filesystem::exists(second[1]));
}

BOOST_AUTO_TEST_CASE(an_empty_list_removes_nothing) {
  const Paths paths = {file("a")};
  BOOST_TEST(stop_twice({paths, {}}) == 143);
  BOOST_TEST(std::filesystem::exists(paths[0]));
}

BOOST_AUTO_TEST_CASE(a_list_that_is_too_long_replaces_the_old_one_too) {
  const Paths paths = {file("a")};
  BOOST_TEST(stop_twice({paths, Paths(300, std::string(4096, 'x'))}) == 143);  // more than 1 MiB
  BOOST_TEST(std::filesystem::exists(paths[0]));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::run
