#pragma once

#include <sys/stat.h>

#include <fmt/format.h>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "tests/posix/random.h"
#include "tests/posix/trace.h"
#include "tests/posix/world.h"

namespace ztmpfs {

/// A place as an *at() system call takes it.
struct Path {
  int directory = -1;
  std::string text;
  bool is_shared = false;  ///< in the directory that other threads change meanwhile
  std::string shown;       ///< for messages

  const char* c_str() const { return text.c_str(); }
};

/// Options of a run that operations mind.
struct CallOptions {
  bool mixes_identities = false;  ///< each operation is made by one of kIdentities
  bool times = true;              ///< compare times
  bool has_company = false;       ///< other threads work in the shared directory
  bool sets_ids = true;           ///< modes have suid and sgid bits
};

/// One operation in one world: arguments from the seed, results into the trace.
///
/// The same operation is carried out once per world, with equal seeds, so every draw comes out equal as long as it
/// depends on nothing that a file system has answered. Inodes that are watched are looked at before and after: their
/// attributes are compared, and which of their times have changed and how these stand to each other. Nothing is
/// compared that was not the operation's: times are never compared across file systems, except such as were set.
class Call {
 public:
  Call(World& world, uint64_t seed, const CallOptions& options);
  ~Call();
  Call(const Call&) = delete;

  World& world() { return world_; }
  Random& random() { return random_; }
  const CallOptions& options() const { return options_; }
  Trace& trace() { return trace_; }

  // Arguments.
  Path path();
  std::string name();
  /// A slot, mostly one that is in use: index, and whether something is open there.
  size_t slot();
  int fd(size_t slot) { return world_.slots()[slot].fd.get(); }
  /// Offsets where the edges are: in and between blocks and pages, far away, at the limit, negative.
  int64_t offset();
  size_t length();
  timespec time();
  mode_t mode();

  // Watching: call before the operation. Paths are looked at with and without their last link followed.
  void watch(std::string_view role, const Path& path);
  void watch(std::string_view role, int fd);

  /// The identity under which the operation itself is made begins here, and ends with finish().
  void begin();
  /// Adds what a system call returned; `result` -1 stands for errno.
  int64_t result(std::string_view label, int64_t result);
  /// A new descriptor: -1 stands for errno; the number itself is not compared. The caller owns it.
  int opened(std::string_view label, int fd);
  /// Puts a descriptor where later operations find it. A negative one is ignored.
  void keep(int fd);
  /// Looks at all that is watched again.
  void finish();
  /// What a path names now: attributes and the order of the times.
  void look(std::string_view role, const Path& path);

  template <class... Arguments>
  void describe(fmt::format_string<Arguments...> form, Arguments&&... arguments) {
    trace_.describe(fmt::format(form, std::forward<Arguments>(arguments)...));
  }

 private:
  struct Watched {
    std::string role;
    UniqueFd fd;
    bool is_shared;
    struct statx before;
  };

  std::string component();
  void watch_at(std::string_view role, const Path& path, int flags);
  void add_attributes(const std::string& role, const struct statx& now, const struct statx* before, bool is_shared);

  World& world_;
  Random random_;
  const CallOptions& options_;
  Trace trace_;
  Identity identity_;
  bool has_begun_ = false;
  std::vector<Watched> watched_;
};

}  // namespace ztmpfs
