#pragma once

#include <sys/types.h>

#include <string>

#include "base/unique_fd.h"

namespace ztmpfs {

/// A process that holds a POSIX record lock on a file as long as this object lives, and is seen to do so.
class LockHolder {
 public:
  /// Makes the file and forks: call before there are threads. Throws std::system_error.
  explicit LockHolder(const std::string& path);
  ~LockHolder();
  LockHolder(const LockHolder&) = delete;

  const std::string& path() const { return path_; }
  /// True if the kernel says that the other process has the lock.
  bool is_held() const;

 private:
  std::string path_;
  UniqueFd fd_;
  pid_t process_ = -1;
};

}  // namespace ztmpfs
