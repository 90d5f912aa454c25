#pragma once

#include <cstddef>
#include <span>

#include "base/bytes.h"
#include "fuse/negotiation.h"
#include "fuse/request_check.h"

namespace ztmpfs {

/// What a server of this program with these features would agree to if the kernel sent it `init` (at most
/// ReaderRecord::kInitMax bytes), with request buffers of such a size. Tried on a volume of its own, which takes about
/// a megabyte. Throws std::runtime_error if the protocol does not fit.
Negotiation rehearse_negotiation(std::span<const std::byte> init, const RequestFeatures& features,
                                 Bytes request_buffer_size);

}  // namespace ztmpfs
