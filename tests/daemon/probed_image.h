#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "base/check.h"
#include "daemon/command_line.h"
#include "tests/support/served_volume.h"
#include "tests/support/test_volume.h"

namespace ztmpfs {

/// A volume that is served as the daemon would serve it with these options, and what a probe is asked about it.
class ProbedImage {
 public:
  explicit ProbedImage(const std::string& options = "xattr") {
    served_.start(fuse_options(options));
    file_ = served_.caller().create(FileSystem::kRootIno, "file", S_IFREG | 0644, O_RDWR)->nodeid;
  }

  static Options parse(const std::string& options) {
    Surroundings surroundings = Surroundings::current();
    surroundings.config_dir.clear();
    return parse_command_line({"-o", "size=256M," + options, "--", "name", "/mnt"}, surroundings).options;
  }
  /// What follows the first argument of a server.
  static std::vector<std::string> arguments(const std::string& options = "xattr") {
    return server_arguments(parse(options));
  }
  static FuseServer::Options fuse_options(const std::string& options) {
    FuseServer::Options fuse = busy_readers();
    fuse.features = {.xattr = parse(options).xattr, .acl = parse(options).acl};
    return fuse;
  }

  ImageFiles files() { return duplicate(served_.volume().image().files()); }
  ImageHeader& header() { return served_.volume().image().header(); }
  /// What the server keeps there was written before.
  ReaderRecord& record() {
    ReaderRecord& record = RequestSlot(served_.volume().image(), 0).reader();
    ZTMPFS_CHECK(record.has_negotiation.load(std::memory_order_acquire) == 1, "the connection has not begun");
    return record;
  }
  ServedVolume& served() { return served_; }
  /// Whether the server goes on serving.
  bool is_served() { return served_.caller().getattr(file_).has_value(); }

 private:
  ServedVolume served_;
  uint64_t file_ = 0;
};

}  // namespace ztmpfs
