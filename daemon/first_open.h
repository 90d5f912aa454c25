#pragma once

#include <string>

namespace ztmpfs {

/// Makes a file in the root of a fresh mount, opens it and removes it: so that the kernel learns from the server's
/// answer to its first OPEN (ENOSYS) that files need neither OPEN nor RELEASE. Until then each CREATE is followed by a
/// RELEASE (fs/fuse/file.c: fuse_file_alloc() asks for no_open), and unpacking an archive opens no file at all.
///
/// Touches the mount: never call it in a process that the mount needs. Does nothing where it may not.
void make_first_open(const std::string& mountpoint);

/// The same from a process of its own, without waiting for it.
void make_first_open_aside(const std::string& mountpoint);

}  // namespace ztmpfs
