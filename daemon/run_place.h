#pragma once

#include <sys/types.h>

#include <string>

#include "base/unique_fd.h"

namespace ztmpfs {

/// Where one `ztmpfs run` takes place: the name of its mount and the paths that go with it, unlike those of any other
/// run. RUNTIME/NAME/ is a directory of the run's own; RUNTIME/NAME/mnt is the mount point, with tmp/ and work/ inside.
class RunPlace {
 public:
  /// Picks a name, "run-PID-" and six random characters. Makes the runtime directory, which all mounts share, and
  /// nothing else. Throws std::runtime_error.
  static RunPlace choose();

  const std::string& name() const { return name_; }
  std::string directory() const { return runtime_dir_ + "/" + name_; }
  std::string mountpoint() const { return directory() + "/mnt"; }
  /// The command's work directory.
  std::string work() const { return mountpoint() + "/work"; }
  /// The command's TMPDIR.
  std::string temporary() const { return mountpoint() + "/tmp"; }

  /// Makes the directories, closed to other users unless `is_open_to_others`. The result is a lock that says, for as
  /// long as any process has it, that they are not abandoned. Throws std::runtime_error.
  UniqueFd make(bool is_open_to_others) const;
  /// In the mount, once it is there: the command's directories. Only TMPDIR is for everybody to write to. They throw
  /// std::runtime_error.
  void make_temporary() const;
  void make_work(bool is_open_to_others) const;

  /// Detaches what is still mounted there, and removes the directories and what holder and server leave in the runtime
  /// directory if they are killed; what is not there is no error. To be called when they have ended. False if
  /// something is left.
  bool remove() const;

  /// Removes the places of runs all of whose processes were killed at once.
  void remove_abandoned() const;

 private:
  RunPlace(std::string runtime_dir, std::string name);

  std::string runtime_dir_;  // without symbolic links, as the mount table has it
  std::string name_;
};

}  // namespace ztmpfs
