#include "program.hpp"

#include <octavo/torch_environment.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

namespace {

// A standard stream that is closed gives its number to the next file that is opened, and what is meant for
// the user would end up in a checkpoint. So each of them is something, if only /dev/null.
void open_standard_streams() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) == -1) open("/dev/null", O_RDWR);  // the lowest number that is free
  }
}

}  // namespace

int main(int count, char** words) {
  open_standard_streams();
  octavo::set_torch_environment();  // before there are threads
  // A closed pipe or a file size limit shows up as an error of the write, where it can be reported.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  const std::string program = count > 0 ? words[0] : "octavo";
  return octavo::cli::run_program(program,
                                  std::vector<std::string>(words + (count > 0 ? 1 : 0), words + count));
}
