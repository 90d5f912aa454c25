#pragma once

#include <vector>

#include "ctl/live_figures.h"
#include "ctl/styled_line.h"

namespace ztmpfs {

/// How much room there is.
struct ViewSize {
  size_t columns;
  size_t rows;

  bool operator==(const ViewSize&) const = default;
};

/// The figures for people: memory, forms of blocks, hot queue, pressure, reclaim, requests, classes; at most size.rows
/// lines. Of requests and classes those that matter most come first. Throws std::exception if a key is missing.
std::vector<StyledLine> live_view(const LiveFigures& figures, const ViewSize& size);

}  // namespace ztmpfs
