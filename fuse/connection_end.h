#pragma once

#include "fs/volume.h"

namespace ztmpfs {

/// Makes the image of a connection that has ended ready for another one: lookups are dropped, removed files that were
/// kept open go, requests that were not finished are forgotten (nobody waits for them any more), and so is FUSE_INIT:
/// the next FuseServer waits for a new one. The request buffers' memory goes back to the OS.
/// Idempotent: called once more after a kill in the midst, it does the rest. No FuseServer may run on the volume, nor
/// be made before: it would have to make its buffers resident again.
void drop_connection(Volume& volume);

}  // namespace ztmpfs
