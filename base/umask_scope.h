#pragma once

#include <sys/stat.h>

namespace ztmpfs {

/// For as long as it lives, files are made with the modes that are asked for, whatever the user's or the service's
/// umask is: no chmod(2) of a path that somebody may have replaced meanwhile. Of the process: only where it has no
/// threads.
class UmaskScope {
 public:
  explicit UmaskScope(mode_t mask) : before_(::umask(mask)) {}
  ~UmaskScope() { ::umask(before_); }
  UmaskScope(const UmaskScope&) = delete;
  UmaskScope& operator=(const UmaskScope&) = delete;

 private:
  mode_t before_;
};

}  // namespace ztmpfs
