#include "program.hpp"

#include <csignal>

int main(int count, char** words) {
  // A closed pipe or a file size limit shows up as an error of the write, where it can be reported.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  const std::string program = count > 0 ? words[0] : "octavo";
  return octavo::cli::run_program(program,
                                  std::vector<std::string>(words + (count > 0 ? 1 : 0), words + count));
}
