#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ztmpfs {

/// How a piece of text looks on a terminal with colours.
enum class Tone { kPlain, kBold, kDim, kGood, kWarning, kBad };

/// The text with ANSI's sequences around it, or as it is.
std::string paint(std::string_view text, Tone tone, bool has_colours);

/// Rows of cells in columns as wide as their widest cell, two blanks between them.
class TextTable {
 public:
  enum class Align { kLeft, kRight };

  /// One alignment per column; cells behind the last one are aligned as that is.
  explicit TextTable(std::vector<Align> columns) : columns_(std::move(columns)) {}

  void add(std::vector<std::string> row, Tone tone = Tone::kPlain) { rows_.push_back({std::move(row), tone}); }
  /// Each line with `indent` blanks in front of it, none at its end.
  std::string text(size_t indent, bool has_colours) const;

 private:
  struct Row {
    std::vector<std::string> cells;
    Tone tone;
  };

  Align align(size_t column) const { return columns_[std::min(column, columns_.size() - 1)]; }

  std::vector<Align> columns_;
  std::vector<Row> rows_;
};

}  // namespace ztmpfs
