#pragma once

#include <span>

namespace ztmpfs {

/// In a child process of the holder: becomes `program`, a descriptor of its file, with no signal blocked, and with the
/// `inherited` descriptors left open. By descriptor, not by path: the file may have been replaced by another version.
/// Returns only if that fails, with errno (execveat(2)). Allocates nothing; `arguments` end with a nullptr.
void exec_program(int program, char* const* arguments, std::span<const int> inherited);

}  // namespace ztmpfs
