#pragma once

#include "ctl/commands.h"

namespace ztmpfs {

/// ztmpfsctl estimate PATH...: what the trees would take in a mount. 1 if something in them could not be read.
int run_estimate(const CommandContext& context);

/// The options of `estimate`.
std::span<const CommandOption> estimate_options();

}  // namespace ztmpfs
