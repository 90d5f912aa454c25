#include "daemon/psi_open.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>

namespace ztmpfs {

namespace {

std::unexpected<std::errc> fail_with_errno() { return fail(std::errc(errno)); }

// Ordinary files are always ready, and epoll(7) refuses them with EPERM.
bool can_be_waited_for(int fd) {
  const UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  return ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

Result<UniqueFd> open_file(const PsiSource& source, std::string_view text) {
  UniqueFd file(::open(source.path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!file) return fail_with_errno();
  struct stat status{};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) || !can_be_waited_for(file.get()))
    return fail(std::errc::operation_not_permitted);
  // The kernel overwrites the last byte with a NUL (psi_write): it has to be one, not a digit.
  const std::string bytes(text);
  if (::write(file.get(), bytes.c_str(), bytes.size() + 1) < 0) return fail_with_errno();
  return file;
}

// Open for writing too, so that it never ends: a writer that comes and goes (echo) is no loss.
Result<UniqueFd> open_fifo(const PsiSource& source, std::string_view text) {
  UniqueFd fifo(::open(source.path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fifo && errno == EACCES && text.empty())
    fifo.reset(::open(source.path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fifo) return fail_with_errno();
  struct stat status{};
  if (::fstat(fifo.get(), &status) < 0) return fail_with_errno();
  if (!S_ISFIFO(status.st_mode)) return fail(std::errc::operation_not_permitted);  // what has taken its place
  if (!text.empty() && ::write(fifo.get(), text.data(), text.size()) < 0) return fail_with_errno();
  return fifo;
}

Result<UniqueFd> connect_socket(const PsiSource& source, std::string_view text) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (source.path.size() >= sizeof(address.sun_path)) return fail(std::errc::filename_too_long);
  std::memcpy(address.sun_path, source.path.data(), source.path.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return fail_with_errno();
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0)
    return fail_with_errno();
  if (!text.empty() && ::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0) return fail_with_errno();
  return socket;
}

template <class Number>
std::optional<Number> find_number(std::string_view line, std::string_view key) {
  const size_t at = line.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  Number number = 0;
  const auto [end, error] = std::from_chars(line.data() + at + key.size(), line.data() + line.size(), number);
  if (error != std::errc{}) return std::nullopt;
  return number;
}

}  // namespace

Result<UniqueFd> open_psi_source(const PsiSource& source, std::string_view text) {
  switch (source.kind) {
    case PsiSourceKind::kFile: return open_file(source, text);
    case PsiSourceKind::kFifo: return open_fifo(source, text);
    case PsiSourceKind::kSocket: return connect_socket(source, text);
  }
  return fail(std::errc::invalid_argument);
}

std::optional<PsiReading> read_pressure(int fd, PressureLevel level) {
  std::array<char, 256> buffer{};  // two lines of at most 80 bytes
  const ssize_t count = ::pread(fd, buffer.data(), buffer.size(), 0);
  if (count <= 0) return std::nullopt;
  std::string_view line(buffer.data(), size_t(count));
  line.remove_prefix(std::min(line.find(to_string(level)), line.size()));
  line = line.substr(0, line.find('\n'));
  const auto percent = find_number<double>(line, "avg10=");
  const auto total = find_number<uint64_t>(line, "total=");
  if (!percent || !total) return std::nullopt;
  return PsiReading{.percent = *percent, .total = std::chrono::microseconds(*total)};
}

std::optional<PsiReading> read_pressure(const std::string& path, PressureLevel level) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!file) return std::nullopt;
  return read_pressure(file.get(), level);
}

}  // namespace ztmpfs
