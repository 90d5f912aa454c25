#pragma once

#include <string>
#include <string_view>

namespace ztmpfs {

/// The text with '?' for what would move a terminal's cursor or change its colours: names of files and mount points
/// are anybody's.
std::string printable(std::string_view text);

/// Columns that the text takes on a terminal, at one per code point of UTF-8.
size_t display_width(std::string_view text);

}  // namespace ztmpfs
