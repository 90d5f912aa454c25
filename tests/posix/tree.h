#pragma once

#include <functional>
#include <string>

#include "tests/posix/call.h"

namespace ztmpfs {

/// Both trees below the worlds' working directories, inode by inode: attributes, targets of links, bytes. Calls
/// `report` with a path and what was found there, ours and the reference's; it returns false to end.
void walk_trees(World& ours, World& reference, const CallOptions& options,
                const std::function<bool(const std::string& path, const Trace& ours, const Trace& reference)>& report);

/// Removes what is in a directory, whatever its modes. False if something is still there.
bool empty_directory(int directory);

}  // namespace ztmpfs
