#pragma once

#include "fuse/translate.h"

namespace ztmpfs {

/// The handlers of a session whose user data is a Reader: each translates a request, has the FileSystem execute it
/// (or takes its recorded outcome), and replies. None lets an exception out.
fuse_lowlevel_ops lowlevel_operations();

/// Adds those of extended attributes.
void add_xattr_operations(fuse_lowlevel_ops& operations);

}  // namespace ztmpfs
