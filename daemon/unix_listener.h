#pragma once

#include <string>

#include "base/unique_fd.h"

namespace ztmpfs {

/// Listens on a Unix socket of the type (SOCK_STREAM, SOCK_SEQPACKET) that only this user can open, in the place of
/// what a process that died has left there. Does not block. Throws std::runtime_error with a sentence.
UniqueFd listen_on(const std::string& path, int type);

}  // namespace ztmpfs
