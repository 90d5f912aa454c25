#pragma once

#include "base/image.h"
#include "daemon/options.h"

namespace ztmpfs {

/// The options for a mount that goes on under a new holder: those it was made with, but size, hot, psi and hang as
/// `wanted`, where these differ from what the mount was made with (else what was changed while it was in use stays).
/// What else is wanted, or cannot be, is logged and left out. To be called while there is no server. Throws
/// std::runtime_error if the image does not tell what it is.
Options adopt_options(const Options& wanted, const ImageFiles& image);

}  // namespace ztmpfs
