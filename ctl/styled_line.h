#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ctl/text_table.h"

namespace ztmpfs {

/// A line of text whose pieces may look different; its width does not depend on how they look.
class StyledLine {
 public:
  StyledLine() = default;
  explicit StyledLine(std::string_view text, Tone tone = Tone::kPlain) { add(text, tone); }

  /// Adds what can be shown of the text, see printable().
  StyledLine& add(std::string_view text, Tone tone = Tone::kPlain);
  StyledLine& add(const StyledLine& line);
  /// Fills up with blanks to so many columns.
  StyledLine& pad(size_t columns);

  size_t width() const;
  /// At most `columns` of it, without blanks at the end.
  std::string text(size_t columns, bool has_colours) const;

 private:
  struct Piece {
    std::string text;
    Tone tone;
  };

  std::vector<Piece> pieces_;
};

}  // namespace ztmpfs
