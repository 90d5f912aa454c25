#pragma once

#include "fuse/translate.h"

namespace ztmpfs {

/// FUSE_IOCTL: what chattr(1) and lsattr(1) ask for, which the kernel sends as FS_IOC_GETFLAGS, FS_IOC_SETFLAGS,
/// FS_IOC_FSGETXATTR and FS_IOC_FSSETXATTR of regular files and directories (fs/fuse/ioctl.c). Others are ENOTTY.
void ioctl(fuse_req_t request, fuse_ino_t ino, unsigned command, void* argument, fuse_file_info* file, unsigned flags,
           const void* input, size_t input_size, size_t output_size);

}  // namespace ztmpfs
