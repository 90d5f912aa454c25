#pragma once

#include "daemon/server_stats.h"

namespace ztmpfs {

/// What a run of compaction came to: three pages.
ReclaimReport sample_report(Bytes target);

/// Figures with something in every part, of the mount `sample_info()`.
ServerStats sample_stats();

/// "build" on /mnt.
ServerInfo sample_info();

}  // namespace ztmpfs
