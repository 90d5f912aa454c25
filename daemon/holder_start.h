#pragma once

#include <optional>

#include "base/holder_client.h"
#include "base/image.h"
#include "daemon/mounter.h"
#include "daemon/name_lock.h"
#include "daemon/options.h"
#include "daemon/service_protocol.h"

namespace ztmpfs {

/// What a holder begins with: a name that nobody else has, and an image, new or with the contents of an earlier mount.
struct HolderStart {
  Options options;  ///< as asked for; what was not is as the image has it
  NameLock lock;
  ImageFiles image;
  bool has_contents = false;
  /// Keeps the contents too until it is told HolderRequest::kTaken, in case that we fail.
  std::optional<HolderClient> predecessor{};
  bool is_stored = false;  ///< the image comes from a service manager, which has it still
  UniqueFd connection{};   ///< not empty: to a mount of the contents that is still there, `mountpoint`
  MountPoint mountpoint{};
};

/// Claims the name of the options; waits some seconds for a mount of this name that is just ending. Throws
/// std::runtime_error with a sentence if the name is in use, or its contents do not fit the options. Goes on with what
/// was `stored`, if there is something.
HolderStart begin_holding(const Options& options, std::optional<StoredDescriptors> stored);

/// Checks the options against the contents kept in an image, and takes its block size if none was asked for. Throws
/// std::runtime_error with a sentence.
Options fit_options(Options options, const ImageFiles& image);

}  // namespace ztmpfs
