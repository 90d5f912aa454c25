#pragma once

#include <expected>
#include <system_error>

namespace ztmpfs {

/// The outcome of a data-plane operation: a value, or the errno a file system answers with.
template <class T>
using Result = std::expected<T, std::errc>;

/// Shorthand for the failed half of a Result.
inline std::unexpected<std::errc> fail(std::errc error) { return std::unexpected(error); }

}  // namespace ztmpfs
