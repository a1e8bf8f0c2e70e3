#include "program.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

namespace {

// A standard stream that is closed gives its number to the next file that is opened, and what is meant for
// the user would end up in a checkpoint. So each of them is something, if only /dev/null.
void open_standard_streams() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) == -1) open("/dev/null", O_RDWR);  // the lowest number that is free
  }
}

// What plugins with LibTorch have in the environment (octavo/torch.hpp), before there are threads: a GPU's
// driver reads the environment in one while they are loaded in another. Settings of the user's stay.
void set_environment() {
  constexpr int kKeep = 0;
  if (std::getenv("PYTORCH_ALLOC_CONF") == nullptr)
    setenv("PYTORCH_CUDA_ALLOC_CONF", "backend:cudaMallocAsync", kKeep);
  setenv("CUBLAS_WORKSPACE_CONFIG", ":1024:2", kKeep);
}

}  // namespace

int main(int count, char** words) {
  open_standard_streams();
  set_environment();
  // A closed pipe or a file size limit shows up as an error of the write, where it can be reported.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  const std::string program = count > 0 ? words[0] : "octavo";
  return octavo::cli::run_program(program,
                                  std::vector<std::string>(words + (count > 0 ? 1 : 0), words + count));
}
