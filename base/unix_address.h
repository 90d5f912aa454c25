#pragma once

#include <sys/un.h>

#include <cstring>
#include <stdexcept>
#include <string>

namespace ztmpfs {

/// The address of the Unix socket at a path. Throws std::runtime_error with a sentence if the path is too long for one.
inline sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) throw std::runtime_error("the path of a socket is too long: " + path);
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

}  // namespace ztmpfs
