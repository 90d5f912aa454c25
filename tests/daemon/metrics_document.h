#pragma once

#include <string>

namespace ztmpfs {

/// docs/metrics.md, made from the table of metrics.
std::string metrics_document();

}  // namespace ztmpfs
