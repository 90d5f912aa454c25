#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "daemon/options.h"
#include "fs/volume.h"

namespace ztmpfs {

/// What `ztmpfsctl set` can change, as it is in effect.
struct LiveValues {
  Bytes size;
  Bytes hot;
  std::string psi;  ///< empty: the default
};

/// The options of a mount that may be changed while it is in use. A change is kept in the image, so that the next
/// server of the mount starts with it. Used by one thread at a time.
class LiveOptions {
 public:
  /// `on_psi` is told of each new value of psi=. The volume outlives it.
  LiveOptions(const Options& options, Volume& volume, std::function<void(const std::string& psi)> on_psi);

  /// All of the settings or none of them. Waits for what a smaller size has to have reclaimed. Throws UsageError if a
  /// setting makes no sense, Refusal if more is in use than the new size leaves room for.
  LiveValues change(const std::vector<Setting>& settings);
  /// Reads the configuration of the mount again, and makes size, hot and psi what they would be if it were mounted now;
  /// the same as change(). The sentences returned tell of what else has changed in it: that is for the next mount.
  std::vector<std::string> reload(const Surroundings& surroundings);

 private:
  void apply(Options next);
  std::vector<std::string> unlike_mounted(const Options& wanted) const;

  Options options_;
  Volume& volume_;
  const std::function<void(const std::string&)> on_psi_;
};

}  // namespace ztmpfs
