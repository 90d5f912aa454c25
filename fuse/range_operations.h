#pragma once

#include "fuse/translate.h"

namespace ztmpfs {

/// Adds the handlers of requests for ranges of files: FALLOCATE, LSEEK, COPY_FILE_RANGE.
void add_range_operations(fuse_lowlevel_ops& operations);

}  // namespace ztmpfs
