#pragma once

#include <string_view>
#include <vector>

#include "fs/filesystem.h"
#include "pool/pool.h"
#include "reclaim/shrinker.h"
#include "store/block_store.h"

namespace ztmpfs {

/// The name of the shrinker that compacts the pool: `ztmpfsctl compact` runs that one alone.
inline constexpr std::string_view kCompactionShrinker = "compaction";

/// What the contents of a volume can give back, cheapest first: the stock of free spans (a system call), open blocks
/// (compressed now instead of soon), spans that are partly filled (compacted). Each scan is apart from an audit, so
/// none may run in a thread that is in a call of `fs`. All three outlive the shrinkers.
std::vector<Shrinker> volume_shrinkers(FileSystem& fs, BlockStore& store, Pool& pool);

}  // namespace ztmpfs
