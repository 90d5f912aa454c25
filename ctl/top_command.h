#pragma once

#include "ctl/commands.h"

namespace ztmpfs {

/// ztmpfsctl top: the figures of a mount, again and again. Ends with 0 on `q`, SIGINT, SIGTERM and after --count views,
/// with an exception when the mount has ended.
int run_top(const CommandContext& context);

/// The options of `top`.
std::span<const CommandOption> top_options();

}  // namespace ztmpfs
