#include "ctl/text_table.h"

#include <algorithm>

#include "ctl/printable.h"

namespace ztmpfs {

std::string paint(std::string_view text, Tone tone, bool has_colours) {
  if (!has_colours || tone == Tone::kPlain || text.empty()) return std::string(text);
  const char* begin = "";
  switch (tone) {
    case Tone::kPlain: break;
    case Tone::kBold: begin = "\x1b[1m"; break;
    case Tone::kDim: begin = "\x1b[2m"; break;
    case Tone::kGood: begin = "\x1b[32m"; break;
    case Tone::kWarning: begin = "\x1b[33m"; break;
    case Tone::kBad: begin = "\x1b[1;31m"; break;
  }
  return begin + std::string(text) + "\x1b[0m";
}

std::string TextTable::text(size_t indent, bool has_colours) const {
  std::vector<size_t> widths;
  for (const Row& row : rows_) {
    widths.resize(std::max(widths.size(), row.cells.size()));
    for (size_t i = 0; i < row.cells.size(); ++i) widths[i] = std::max(widths[i], display_width(row.cells[i]));
  }
  std::string text;
  for (const Row& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.cells.size(); ++i) {
      const std::string blanks(widths[i] - display_width(row.cells[i]), ' ');
      if (i > 0) line += "  ";
      line += align(i) == Align::kRight ? blanks + row.cells[i] : row.cells[i] + blanks;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += std::string(indent, ' ') + paint(line, row.tone, has_colours) + "\n";
  }
  return text;
}

}  // namespace ztmpfs
