#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/image.h"
#include "fs/volume.h"

namespace ztmpfs {

/// A FUSE request without its header's constants.
struct KillRequest {
  uint32_t opcode = 0;
  uint64_t nodeid = 0;
  std::vector<std::byte> argument{};
};

/// What servers did on one copy of an image.
struct KillRun {
  /// Errno and body of each reply; of a new inode's number only the low half.
  struct Reply {
    int error;
    std::vector<std::byte> body;
    friend bool operator==(const Reply&, const Reply&) = default;
  };
  std::vector<Reply> replies;
  std::string dump;     ///< of the image at the end, by another attachment
  uint64_t points = 0;  ///< kill points that the last server passed
  std::string failure;  ///< what else went wrong; empty: nothing
};

/// Runs servers, each a process forked without exec, on copies of an image: they die where they are told to, the last
/// one lives. The process has no threads.
class KillRig {
 public:
  /// `files` is the image as each run finds it, with nobody attached to it; borrowed, like the clock.
  KillRig(const ImageFiles& files, const VolumeOptions& options, const Clock& clock)
      : files_(files), options_(options), clock_(clock) {}

  /// A connection that is not begun yet: the first request is INIT. Else it is begun.
  void expect_init() { is_begun_ = false; }
  /// Seals what is open before an image is dumped.
  void settle_at_the_end() { settles_ = true; }
  /// Points of the first server count from its start, not from when it is ready to serve.
  void count_from_start() { counts_from_start_ = true; }

  /// Sends the request; one server after the other dies at the point that `deaths` tells, later ones counted from the
  /// server's start. The last one answers, unless that is done, and ends with the connection.
  KillRun serve(const KillRequest& request, const std::vector<uint64_t>& deaths) const;
  /// The same without a connection: the work is done by whoever lives, from its beginning.
  KillRun work(const std::function<void(Volume&)>& body, const std::vector<uint64_t>& deaths) const;

 private:
  using Server = std::function<void(const ImageFiles& files, const std::function<void()>& arm)>;

  KillRun run(const Server& server, const std::vector<uint64_t>& deaths) const;
  void run_server(const Server& server, const ImageFiles& files, uint64_t deadly, bool is_first) const;
  void serve_connection(const ImageFiles& files, int connection, const std::function<void()>& arm) const;
  ImageFiles copy_image() const;

  const ImageFiles& files_;
  const VolumeOptions options_;
  const Clock& clock_;
  bool is_begun_ = true;
  bool settles_ = false;
  bool counts_from_start_ = false;
};

}  // namespace ztmpfs
