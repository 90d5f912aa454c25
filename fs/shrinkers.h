#pragma once

#include <vector>

#include "fs/filesystem.h"
#include "pool/pool.h"
#include "reclaim/reclaimer.h"
#include "reclaim/shrinker.h"
#include "store/block_store.h"

namespace ztmpfs {

/// What the contents of a volume can give back, cheapest first: the stock of free spans (a system call), open blocks
/// (compressed now instead of soon; left alone below level "full": files that die young would be compressed in vain),
/// spans that are partly filled (compacted). Each scan is apart from an audit, so
/// none may run in a thread that is in a call of `fs`. All three outlive the shrinkers.
std::vector<Shrinker> volume_shrinkers(FileSystem& fs, BlockStore& store, Pool& pool);

/// Compacts the pool because a person asked: a run of that shrinker alone, or without it, if it could not be
/// registered.
ReclaimReport compact_by_hand(Reclaimer& reclaimer, FileSystem& fs, Pool& pool);

}  // namespace ztmpfs
