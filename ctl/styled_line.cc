#include "ctl/styled_line.h"

#include <algorithm>

#include "ctl/printable.h"

namespace ztmpfs {

namespace {

// The first `columns` code points.
std::string_view cut(std::string_view text, size_t columns) {
  size_t end = 0;
  while (end < text.size() && columns > 0) {
    ++end;
    while (end < text.size() && (text[end] & 0xc0) == 0x80) ++end;
    --columns;
  }
  return text.substr(0, end);
}

}  // namespace

StyledLine& StyledLine::add(std::string_view text, Tone tone) {
  if (!text.empty()) pieces_.push_back({printable(text), tone});
  return *this;
}

StyledLine& StyledLine::add(const StyledLine& line) {
  pieces_.insert(pieces_.end(), line.pieces_.begin(), line.pieces_.end());
  return *this;
}

StyledLine& StyledLine::pad(size_t columns) {
  if (const size_t now = width(); now < columns) pieces_.push_back({std::string(columns - now, ' '), Tone::kPlain});
  return *this;
}

size_t StyledLine::width() const {
  size_t sum = 0;
  for (const Piece& piece : pieces_) sum += display_width(piece.text);
  return sum;
}

std::string StyledLine::text(size_t columns, bool has_colours) const {
  std::string text;
  for (const Piece& piece : pieces_) {
    const std::string_view part = cut(piece.text, columns);
    columns -= display_width(part);
    text += paint(part, piece.tone, has_colours);
  }
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

}  // namespace ztmpfs
