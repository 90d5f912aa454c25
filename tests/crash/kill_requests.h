#pragma once

#include <fcntl.h>
#include <linux/fuse.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "tests/crash/kill_rig.h"

namespace ztmpfs {

// Requests as the kernel makes them, by the names of their opcodes.
/// One whose argument is nothing but names.
KillRequest names_request(uint32_t opcode, uint64_t nodeid, std::initializer_list<std::string_view> names);
KillRequest mknod_request(uint64_t parent, std::string_view name, uint32_t mode, uint32_t rdev = 0);
KillRequest create_request(uint64_t parent, std::string_view name, uint32_t flags = O_CREAT | O_RDWR);
KillRequest mkdir_request(uint64_t parent, std::string_view name);
KillRequest rename_request(uint64_t parent, std::string_view name, uint64_t to, std::string_view new_name,
                           uint32_t flags = 0);
KillRequest write_request(uint64_t ino, uint64_t offset, std::string_view data, uint32_t flags = 0);
KillRequest setattr_request(uint64_t ino, const fuse_setattr_in& change);
KillRequest truncate_request(uint64_t ino, uint64_t size);
KillRequest fallocate_request(uint64_t ino, uint32_t mode, uint64_t offset, uint64_t length);
KillRequest copy_request(uint64_t from, uint64_t from_offset, uint64_t to, uint64_t to_offset, uint64_t length);
KillRequest setxattr_request(uint64_t ino, std::string_view name, std::string_view value, uint32_t flags = 0);
KillRequest readdirplus_request(uint64_t ino, uint32_t size);
KillRequest batch_forget_request(std::initializer_list<std::pair<uint64_t, uint64_t>> items);
KillRequest set_flags_request(uint64_t ino, uint32_t flags);
KillRequest tmpfile_request(uint64_t parent);
KillRequest link_request(uint64_t ino, uint64_t parent, std::string_view name);

/// So many bytes that are neither one word over and over nor compress to nothing.
std::string text(size_t size, uint32_t seed = 1);
/// So many bytes that do not compress.
std::string noise(size_t size);
/// The value of an ACL that says more than a mode does.
std::string some_acl();

}  // namespace ztmpfs
