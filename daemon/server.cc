#include "daemon/server.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <string_view>

#include "base/bytes.h"
#include "base/log.h"
#include "daemon/command_line.h"
#include "daemon/daemon.h"
#include "daemon/server_descriptors.h"

namespace ztmpfs {

namespace {

// glibc gives memory back late by default: an arena per thread, and thresholds that grow with use. What the heap keeps
// counts against the cap of the mount.
void tune_heap() {
  ::mallopt(M_ARENA_MAX, 2);
  ::mallopt(M_MMAP_THRESHOLD, int(256 * kKiB));
  ::mallopt(M_TRIM_THRESHOLD, int(256 * kKiB));
}

// The soft limit is but a default, and the request buffers should be locked (fuse/request_slot.h).
void raise_memory_lock_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_MEMLOCK, &limit);
}

void report(const UniqueFd& ready, std::string_view sentence) {
  log(LogLevel::kError, sentence);
  [[maybe_unused]] const ssize_t written = ::write(ready.get(), sentence.data(), sentence.size());
}

}  // namespace

// What was changed since the mount was made wins over what the holder passes on.
Options server_options(const std::vector<std::string>& arguments, const ImageFiles& image) {
  Surroundings surroundings = Surroundings::current();
  surroundings.config_dir.clear();  // the launcher has read it
  Options options = parse_command_line({arguments.begin() + 1, arguments.end()}, surroundings).options;
  const std::string changed = image.changed_options();
  if (changed.empty()) return options;
  // What is left out there has become the default (format_live_options()).
  options.hot = 0;
  options.psi.clear();
  return change_options(options, split_settings(changed), image.geometry().capacity, surroundings);
}

int server_main(const std::vector<std::string>& arguments) {
  ::prctl(PR_SET_NAME, "ztmpfs");  // exec of /proc/self/exe has made it "exe"
  std::signal(SIGPIPE, SIG_IGN);
  tune_heap();
  raise_memory_lock_limit();
  std::signal(SIGHUP, SIG_IGN);  // the holder's business
  UniqueFd report_to;
  try {
    ServerDescriptors descriptors = parse_server_argument(arguments.front());
    const Options options = server_options(arguments, descriptors.image);
    log_open(!options.foreground, options.name);
    report_to.reset(::fcntl(descriptors.ready.get(), F_DUPFD_CLOEXEC, 3));
    Daemon daemon(options, std::move(descriptors));
    return daemon.run();
  } catch (const std::exception& error) {
    report(report_to, error.what());
    return EXIT_FAILURE;
  }
}

}  // namespace ztmpfs
