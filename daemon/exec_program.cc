#include "daemon/exec_program.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>

namespace ztmpfs {

void exec_program(int program, char* const* arguments, std::span<const int> inherited) {
  for (const int fd : inherited) ::fcntl(fd, F_SETFD, 0);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execveat(program, "", arguments, environ, AT_EMPTY_PATH);
}

}  // namespace ztmpfs
