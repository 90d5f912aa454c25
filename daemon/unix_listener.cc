#include "daemon/unix_listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "base/unix_address.h"

namespace ztmpfs {

UniqueFd listen_on(const std::string& path, int type) {
  constexpr int kBacklog = 64;
  const sockaddr_un address = unix_address(path);
  ::unlink(path.c_str());
  UniqueFd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // Between bind and listen nobody can connect yet.
  if (!socket || ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0 ||
      ::chmod(path.c_str(), S_IRUSR | S_IWUSR) < 0 || ::listen(socket.get(), kBacklog) < 0)
    throw std::runtime_error("cannot listen on " + path + ": " + std::strerror(errno));
  return socket;
}

}  // namespace ztmpfs
