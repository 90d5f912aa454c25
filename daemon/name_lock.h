#pragma once

#include <optional>
#include <string>

#include "base/unique_fd.h"

namespace ztmpfs {

/// The claim on a mount's name: an flock(2) on RUNTIME_DIR/NAME.lock. It lasts until every process that has the
/// descriptor (holder and server) has ended, so a successor never meets remains of its predecessor.
class NameLock {
 public:
  /// Nothing if somebody else has the name. Throws std::runtime_error if the file cannot be made.
  static std::optional<NameLock> try_claim(const std::string& runtime_dir, const std::string& name);
  /// Of a claim that another process hands over: its descriptor.
  NameLock(const std::string& runtime_dir, const std::string& name, UniqueFd file);

  int fd() const { return file_.get(); }
  /// Removes the file, but not the lock.
  void remove_file() const { remove_file(path_); }
  static void remove_file(const std::string& path);
  /// Where the lock on `name` is.
  static std::string path(const std::string& runtime_dir, const std::string& name);

 private:
  std::string path_;
  UniqueFd file_;
};

}  // namespace ztmpfs
