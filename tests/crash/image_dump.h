#pragma once

#include <string>

#include "fs/volume.h"

namespace ztmpfs {

/// All that a volume holds, as text to be compared: each inode with its attributes, lookup count, contents, target and
/// xattrs, each directory with its entries, the counters of memory, and what audit() complains of. Of inode numbers it
/// tells the low half: the other one says how often the record was used, which a crash between may add to. No threads
/// may run.
std::string dump(Volume& volume);

}  // namespace ztmpfs
