#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "daemon/check_image.h"
#include "daemon/launcher.h"
#include "daemon/mount_call.h"
#include "daemon/probe.h"
#include "daemon/run.h"
#include "daemon/server.h"
#include "daemon/server_descriptors.h"

int main(int argc, char** argv) {
  // Numbers 0 to 2 must never be given to a file of ours.
  int fd = 0;
  do {
    fd = ::open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  ::close(fd);

  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (!arguments.empty() && arguments.front().starts_with(ztmpfs::kServerArgument))
    return ztmpfs::server_main(arguments);
  if (!arguments.empty() && arguments.front().starts_with(ztmpfs::kProbeArgument)) return ztmpfs::probe_main(arguments);
  if (!arguments.empty() && arguments.front().starts_with(ztmpfs::kCheckArgument)) return ztmpfs::check_main(arguments);
  if (argc > 0 && ztmpfs::is_called_by_mount(argv[0])) return ztmpfs::mount_call_main(arguments);
  if (!arguments.empty() && arguments.front() == "run")
    return ztmpfs::run_main({arguments.begin() + 1, arguments.end()});
  return ztmpfs::launcher_main(arguments);
}
