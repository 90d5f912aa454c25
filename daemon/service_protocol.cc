#include "daemon/service_protocol.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <string>

#include "base/log.h"

namespace ztmpfs {

namespace {

constexpr std::string_view kFuse = "ztmpfs-fuse";
constexpr std::string_view kMeta = "ztmpfs-meta";
constexpr std::string_view kData = "ztmpfs-data";
constexpr std::string_view kBuffers = "ztmpfs-buffers";
constexpr std::array kNames{kFuse, kMeta, kData, kBuffers};

// The kernel's Documentation/admin-guide/devices.txt.
constexpr unsigned kFuseMajor = 10;
constexpr unsigned kFuseMinor = 229;

// Names of variables: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3), systemd.exec(5).
constexpr std::array kVariables{"NOTIFY_SOCKET", "WATCHDOG_USEC",  "WATCHDOG_PID", "LISTEN_FDS",
                                "LISTEN_PID",    "LISTEN_FDNAMES", "FDSTORE",      "SYSTEMD_EXEC_PID"};

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  return value;
}

// Whether the variable, a process's number, means us. Where it is not set, it says nothing against it.
bool means_us(const char* name) {
  const std::string_view text = variable(name);
  return text.empty() || number<pid_t>(text) == ::getpid();
}

bool is_right_kind(std::string_view name, const UniqueFd& fd) {
  struct stat status{};
  if (::fstat(fd.get(), &status) < 0) return false;
  if (name == kFuse)
    return S_ISCHR(status.st_mode) && major(status.st_rdev) == kFuseMajor && minor(status.st_rdev) == kFuseMinor;
  return S_ISREG(status.st_mode) && ::fcntl(fd.get(), F_GET_SEALS) >= 0;  // only memory files have seals
}

std::string_view first_line(std::string_view text) { return text.substr(0, text.find('\n')); }

// A message under construction: of fixed size, because nothing is allocated where messages are sent.
class Message {
 public:
  Message& operator<<(std::string_view text) {
    const size_t length = std::min(text.size(), text_.size() - length_);
    std::copy_n(text.begin(), length, text_.begin() + ptrdiff_t(length_));
    length_ += length;
    return *this;
  }
  Message& operator<<(int64_t number) {
    std::array<char, 20> digits{};
    const auto end = std::to_chars(digits.begin(), digits.end(), number).ptr;
    return *this << std::string_view(digits.begin(), end);
  }
  std::string_view text() const { return {text_.data(), length_}; }

 private:
  std::array<char, 512> text_{};
  size_t length_ = 0;
};

}  // namespace

ServiceProtocol ServiceProtocol::from_environment(int first_descriptor) {
  ServiceProtocol protocol;
  if (const auto address = variable("NOTIFY_SOCKET"); !address.empty()) protocol.open_socket(address);
  if (!variable("LISTEN_PID").empty() && means_us("LISTEN_PID"))
    protocol.receive(first_descriptor, variable("LISTEN_FDS"), variable("LISTEN_FDNAMES"));
  const auto watchdog = number<uint64_t>(variable("WATCHDOG_USEC"));
  if (protocol.is_present() && watchdog.value_or(0) > 0 && means_us("WATCHDOG_PID"))
    protocol.watchdog_interval_ = std::chrono::milliseconds(std::max<uint64_t>(*watchdog / 2000, 1));
  protocol.is_main_process_ =
      protocol.is_present() && !variable("SYSTEMD_EXEC_PID").empty() && means_us("SYSTEMD_EXEC_PID");
  // $FDSTORE is inherited by all that a service runs; the main process alone is $SYSTEMD_EXEC_PID.
  protocol.has_room_ = protocol.is_present() && means_us("SYSTEMD_EXEC_PID") &&
                       number<unsigned>(variable("FDSTORE")).value_or(0) >= kNames.size();
  for (const char* name : kVariables) ::unsetenv(name);
  return protocol;
}

void ServiceProtocol::open_socket(std::string_view address) {
  const bool is_abstract = address.front() == '@';
  if ((!is_abstract && address.front() != '/') || address.size() >= sizeof(address_.sun_path))
    throw std::runtime_error("NOTIFY_SOCKET=" + std::string(address) + " is no path of a socket");
  address_.sun_family = AF_UNIX;
  std::memcpy(address_.sun_path, address.data(), address.size());
  if (is_abstract) address_.sun_path[0] = '\0';
  address_length_ = socklen_t(offsetof(sockaddr_un, sun_path) + address.size() + (is_abstract ? 0 : 1));
  socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const timeval patience{.tv_sec = 1, .tv_usec = 0};
  if (!socket_ || ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
    throw std::runtime_error("cannot make a socket for the service manager: " + std::string(std::strerror(errno)));
}

void ServiceProtocol::receive(int first_descriptor, std::string_view count, std::string_view names) {
  for (int i = 0; i < number<int>(count).value_or(0); ++i) {
    UniqueFd fd(first_descriptor + i);
    const std::string_view name = names.substr(0, names.find(':'));
    names.remove_prefix(std::min(names.size(), name.size() + 1));
    if (::fcntl(fd.get(), F_SETFD, FD_CLOEXEC) < 0)
      throw std::runtime_error("LISTEN_FDS names descriptor " + std::to_string(fd.release()) + ", which is not open");
    const auto* ours = std::ranges::find(kNames, name);
    if (ours != kNames.end()) received_.push_back({*ours, std::move(fd)});
  }
}

void ServiceProtocol::close_other_descriptors() const {
  std::vector<unsigned> ours;
  if (socket_) ours.push_back(unsigned(socket_.get()));
  for (const Received& received : received_) ours.push_back(unsigned(received.fd.get()));
  std::ranges::sort(ours);
  unsigned next = STDERR_FILENO + 1;
  for (const unsigned fd : ours) {
    if (fd > next) ::close_range(next, fd - 1, 0);
    next = fd + 1;
  }
  ::close_range(next, ~0U, 0);
}

UniqueFd ServiceProtocol::take(std::string_view name) {
  UniqueFd taken;
  for (Received& received : received_) {
    if (received.name != name) continue;
    if (taken) throw std::runtime_error("the service manager has kept more than one " + std::string(name));
    if (!is_right_kind(name, received.fd))
      throw std::runtime_error("what the service manager has kept as " + std::string(name) + " is something else");
    taken = std::move(received.fd);
  }
  return taken;
}

StoredDescriptors ServiceProtocol::take_set() {
  StoredDescriptors stored;
  stored.fuse = take(kFuse);
  stored.image.meta = take(kMeta);
  stored.image.data = take(kData);
  stored.image.buffers = take(kBuffers);
  if (!stored.image.meta || !stored.image.data || !stored.image.buffers)
    throw std::runtime_error("the service manager has kept only a part of the contents of an earlier mount");
  return stored;
}

std::optional<StoredDescriptors> ServiceProtocol::take_stored() {
  if (received_.empty()) return {};
  try {
    StoredDescriptors stored = take_set();
    received_.clear();
    is_image_stored_ = true;
    return stored;
  } catch (...) {
    received_.clear();
    remove_connection();
    remove_image();
    throw;
  }
}

// ENOENT, ECONNREFUSED and the like: nobody listens any more, and there is nobody to tell.
bool ServiceProtocol::send(std::string_view message, int fd, int flags) const {
  errno = 0;
  if (!socket_) return false;
  iovec text{.iov_base = const_cast<char*>(message.data()), .iov_len = message.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};
  header.msg_name = const_cast<sockaddr_un*>(&address_);
  header.msg_namelen = address_length_;
  header.msg_iov = &text;
  header.msg_iovlen = 1;
  if (fd >= 0) {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
  }
  ssize_t sent = -1;
  do {
    sent = ::sendmsg(socket_.get(), &header, MSG_NOSIGNAL | flags);
  } while (sent < 0 && errno == EINTR);
  return sent == ssize_t(message.size());
}

// Where nobody listens there is nobody to tell again.
bool ServiceProtocol::send_now(std::string_view message) const {
  return send(message, -1, MSG_DONTWAIT) || (errno != EAGAIN && errno != ENOBUFS);
}

bool ServiceProtocol::ready(pid_t main_pid, std::string_view text) const {
  Message message;
  message << "READY=1\nMAINPID=" << int64_t(main_pid) << "\nSTATUS=" << first_line(text);
  return send_now(message.text());
}

// systemd wants the time by CLOCK_MONOTONIC (sd_notify(3)).
bool ServiceProtocol::reloading() const {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  Message message;
  message << "RELOADING=1\nMONOTONIC_USEC=" << int64_t(now.tv_sec) * 1'000'000 + now.tv_nsec / 1'000;
  return send_now(message.text());
}

bool ServiceProtocol::status(std::string_view text) const {
  Message message;
  message << "STATUS=" << first_line(text);
  return send_now(message.text());
}

void ServiceProtocol::stopping() const { send("STOPPING=1"); }

void ServiceProtocol::watchdog() const { send("WATCHDOG=1", -1, MSG_DONTWAIT); }

// FDPOLL=0: else the manager drops what reports an error, which is what /dev/fuse does when its mount ends: we would
// not know any more what it keeps.
bool ServiceProtocol::store(std::string_view name, const UniqueFd& fd) const {
  if (!socket_) return false;
  Message message;
  message << "FDSTORE=1\nFDPOLL=0\nFDNAME=" << name;
  const bool is_sent = send(message.text(), fd.get());
  if (!is_sent)
    log(LogLevel::kWarning, "cannot hand " + std::string(name) + " to the service manager: " + std::strerror(errno));
  return is_sent;
}

void ServiceProtocol::remove(std::string_view name) const {
  Message message;
  message << "FDSTOREREMOVE=1\nFDNAME=" << name;
  send(message.text());
}

void ServiceProtocol::store_connection(const UniqueFd& fuse) {
  remove(kFuse);
  store(kFuse, fuse);
}

void ServiceProtocol::store_image(const ImageFiles& image) {
  is_image_stored_ = store(kMeta, image.meta) && store(kData, image.data) && store(kBuffers, image.buffers);
}

void ServiceProtocol::remove_connection() { remove(kFuse); }

void ServiceProtocol::remove_image() {
  for (const std::string_view name : {kMeta, kData, kBuffers}) remove(name);
  is_image_stored_ = false;
}

}  // namespace ztmpfs
