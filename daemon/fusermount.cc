#include "daemon/fusermount.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <system_error>

namespace ztmpfs {

namespace {

constexpr int kChildSocket = 3;

std::string read_all(int fd) {
  std::string text;
  std::array<char, 512> chunk{};
  while (true) {
    const ssize_t count = ::read(fd, chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    text.append(chunk.data(), size_t(count));
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::ranges::replace(text, '\n', ' ');
  return text;
}

// Our environment with _FUSE_COMMFD set to the child's end of the socket.
std::vector<char*> child_environment(std::string& socket_variable) {
  std::vector<char*> environment;
  for (char** entry = environ; *entry != nullptr; ++entry)
    if (!std::string_view(*entry).starts_with("_FUSE_COMMFD=")) environment.push_back(*entry);
  environment.push_back(socket_variable.data());
  environment.push_back(nullptr);
  return environment;
}

pid_t spawn(std::vector<std::string>& arguments, int child_stderr, int child_socket) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::string socket_variable = "_FUSE_COMMFD=" + std::to_string(kChildSocket);
  std::vector<char*> environment = child_environment(socket_variable);

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, child_stderr, STDERR_FILENO);
  if (child_socket >= 0) ::posix_spawn_file_actions_adddup2(&actions, child_socket, kChildSocket);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t no_signals;
  ::sigemptyset(&no_signals);
  ::posix_spawnattr_setsigmask(&attributes, &no_signals);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, "fusermount3", &actions, &attributes, argv.data(), environment.data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0)
    throw std::runtime_error(std::string("cannot run fusermount3 (package fuse3), which mounts for users: ") +
                             std::strerror(error));
  return pid;
}

FusermountResult run(std::vector<std::string> arguments, UniqueFd child_socket) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) < 0)
    throw std::system_error(errno, std::generic_category(), "cannot make a pipe");
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const pid_t pid = spawn(arguments, writer.get(), child_socket.get());
  writer.reset();
  child_socket.reset();
  std::string message = read_all(reader.get());
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return {WIFEXITED(status) && WEXITSTATUS(status) == 0, std::move(message)};
}

// The descriptor in the ancillary data of one message, if there is one.
UniqueFd receive_descriptor(int socket) {
  char byte = 0;
  iovec data{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) <= 0) return {};
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) return {};
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof(fd));
  return UniqueFd(fd);
}

}  // namespace

FusermountResult fusermount_mount(const std::string& options, const std::string& mountpoint, UniqueFd& device) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) < 0)
    throw std::system_error(errno, std::generic_category(), "cannot make a socket pair");
  const UniqueFd ours(ends[0]);
  FusermountResult result = run({"fusermount3", "-o", options, "--", mountpoint}, UniqueFd(ends[1]));
  if (result.succeeded) device = receive_descriptor(ours.get());
  return result;
}

FusermountResult fusermount_unmount(const std::string& mountpoint, bool lazily) {
  return run({"fusermount3", lazily ? "-uz" : "-u", "--", mountpoint}, UniqueFd());
}

}  // namespace ztmpfs
