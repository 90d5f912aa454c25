#include "ctl/printable.h"

#include <algorithm>

namespace ztmpfs {

std::string printable(std::string_view text) {
  constexpr unsigned char kFirstPrintable = 0x20;
  constexpr unsigned char kDelete = 0x7f;
  std::string result(text);
  // C1 control characters are 0xc2 0x80..0x9f in UTF-8.
  for (size_t i = 0; i < result.size(); ++i) {
    const auto byte = static_cast<unsigned char>(result[i]);
    const bool is_c1 = i > 0 && static_cast<unsigned char>(result[i - 1]) == 0xc2 && byte >= 0x80 && byte < 0xa0;
    if (byte < kFirstPrintable || byte == kDelete) result[i] = '?';
    if (is_c1) result[i - 1] = result[i] = '?';
  }
  return result;
}

size_t display_width(std::string_view text) {
  return size_t(std::ranges::count_if(text, [](char byte) { return (byte & 0xc0) != 0x80; }));
}

}  // namespace ztmpfs
