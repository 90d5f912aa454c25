#pragma once

#include <string>
#include <vector>

namespace ztmpfs {

/// The command `ztmpfs run`: runs a command in a scratch mount of its own and returns its exit code, or ends by the
/// signal that has ended it. `arguments` are what follows "run". Failures: one sentence on stderr, exit code 125.
int run_main(const std::vector<std::string>& arguments);

}  // namespace ztmpfs
