#pragma once

namespace ztmpfs {

/// Prints where and why an invariant broke, and aborts: state that cannot be trusted must not be served.
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const char* reason);

}  // namespace ztmpfs

/// An invariant of the program, checked in release builds too.
#define ZTMPFS_CHECK(condition, reason) \
  ((condition) ? void(0) : ::ztmpfs::check_failed(__FILE__, __LINE__, #condition, reason))
