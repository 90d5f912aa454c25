#include "daemon/launcher.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "base/journal_client.h"
#include "base/log.h"
#include "base/mountpoint_path.h"
#include "base/umask_scope.h"
#include "base/unique_fd.h"
#include "daemon/command_line.h"
#include "daemon/first_open.h"
#include "daemon/holder.h"
#include "daemon/mount_table.h"
#include "daemon/remount.h"
#include "daemon/service_protocol.h"

namespace ztmpfs {

namespace {

constexpr int kExitUsage = 2;

int fail_with(const std::exception& error, int exit_code) {
  std::cerr << journal_prefix(LOG_ERR) << "ztmpfs: " << error.what() << std::endl;
  return exit_code;
}

int run_in_foreground(const Options& options, ServiceProtocol service) {
  log_open(false, options.name);
  const bool is_new = !service.has_stored();
  const auto on_ready = [&] {
    if (is_new) make_first_open_aside(options.mountpoint);
  };
  try {
    return Holder(options, on_ready, std::move(service)).run();
  } catch (const std::exception& error) {
    return fail_with(error, EXIT_FAILURE);
  }
}

void point_at_null(int fd) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ::dup2(null.get(), fd);
}

std::string read_report(int fd) {
  std::string text;
  std::array<char, 512> chunk{};
  while (true) {
    const ssize_t count = ::read(fd, chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(chunk.data(), size_t(count));
  }
}

int launch_in_background(const Options& options, ServiceProtocol service) {
  // Inherited descriptors (a lock, the pipe of a shell) must not stay open for the life of the mount.
  service.close_other_descriptors();
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) < 0)
    throw std::system_error(errno, std::generic_category(), "cannot make a pipe");
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "cannot start a background process");
  if (child == 0) ::_exit(hold_in_background(options, std::move(service), std::move(writer)));
  writer.reset();
  const std::string report = read_report(reader.get());
  if (report == std::string(1, kReady)) {
    make_first_open(options.mountpoint);
    return EXIT_SUCCESS;
  }
  throw std::runtime_error(report.empty() ? "the background process ended before the mount was usable" : report);
}

// With mode 0755, whatever the umask of a service is: others are to get through.
bool make_directories(const std::filesystem::path& path, std::error_code& error) {
  const UmaskScope as_asked(0022);
  std::filesystem::path part;
  for (const std::filesystem::path& name : path.lexically_normal()) {
    part /= name;
    if (name.empty()) continue;  // behind a slash at the end
    if (::mkdir(part.c_str(), 0755) == 0) continue;
    error.assign(errno, std::generic_category());
    if (error != std::errc::file_exists) return false;
  }
  return std::filesystem::is_directory(path, error);
}

// What the configuration says of it must hold, else it is the configuration that is wrong. A directory that is missing
// is made, as systemd does for its mount units.
std::string prepare_mountpoint(const Options& options) {
  if (options.mountpoint_origin.empty()) return check_mountpoint(options.mountpoint);
  const std::string key = "option 'mountpoint=" + options.mountpoint + "'" + options.mountpoint_origin + ": ";
  std::error_code error;
  const auto table = read_mount_table();
  const bool is_there = find_mount(table, mountpoint_path(options.mountpoint)) != nullptr ||  // may not answer
                        std::filesystem::exists(options.mountpoint, error);
  if (!is_there && !make_directories(options.mountpoint, error))
    throw UsageError(key + "cannot make this directory: " + error.message());
  try {
    return check_mountpoint(options.mountpoint);
  } catch (const std::runtime_error& reason) {
    throw UsageError(key + reason.what());
  }
}

}  // namespace

int hold_in_background(const Options& options, ServiceProtocol service, UniqueFd report,
                       std::function<void()> before_stop) {
  ::setsid();
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) point_at_null(fd);
  if (::chdir("/") < 0) return EXIT_FAILURE;
  log_open(true, options.name);
  int exit_code = EXIT_FAILURE;
  try {
    const auto on_ready = [&report] {
      [[maybe_unused]] const ssize_t written = ::write(report.get(), &kReady, 1);
      report.reset();
    };
    Holder holder(options, on_ready, std::move(service));
    holder.set_before_stop(std::move(before_stop));
    exit_code = holder.run();
  } catch (const std::exception& error) {
    const std::string_view sentence = error.what();
    if (report) {
      [[maybe_unused]] const ssize_t written = ::write(report.get(), sentence.data(), sentence.size());
    } else {
      log(LogLevel::kError, sentence);
    }
  }
  return exit_code;
}

int launcher_main(const std::vector<std::string>& arguments) {
  CommandLine command_line;
  try {
    command_line = parse_command_line(arguments, Surroundings::current());
    // Only for a new mount: a server that takes over must start although the source is away for a while.
    check_psi_path(command_line.options);
  } catch (const UsageError& error) {
    // A service manager that keeps contents for us must not take it for hopeless (RestartPreventExitStatus=).
    return fail_with(error, std::getenv("LISTEN_FDS") != nullptr ? EXIT_FAILURE : kExitUsage);
  }
  for (const std::string& warning : command_line.warnings)
    std::cerr << journal_prefix(LOG_WARNING) << "ztmpfs: warning: " << warning << std::endl;
  if (!command_line.text_to_print.empty()) {
    std::cout << command_line.text_to_print << std::flush;
    return EXIT_SUCCESS;
  }
  Options& options = command_line.options;
  try {
    if (!command_line.remount.empty()) {
      remount(options.mountpoint, command_line.remount, Surroundings::current());
      return EXIT_SUCCESS;
    }
    if (command_line.is_by_service) {
      require_mounted(options.name, options.mountpoint);
      return EXIT_SUCCESS;
    }
    ServiceProtocol service = ServiceProtocol::from_environment();
    // What goes on is mounted there, and nobody would answer.
    options.mountpoint = service.has_stored() ? mountpoint_path(options.mountpoint) : prepare_mountpoint(options);
    // A service manager does not wait for the end of a process that is not its child: it kills it.
    if (service.is_main_process()) options.foreground = true;
    if (options.foreground) return run_in_foreground(options, std::move(service));
    return launch_in_background(options, std::move(service));
  } catch (const UsageError& error) {
    return fail_with(error, kExitUsage);
  } catch (const std::exception& error) {
    return fail_with(error, EXIT_FAILURE);
  }
}

}  // namespace ztmpfs
