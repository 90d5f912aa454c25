#pragma once

#include <string>
#include <vector>

namespace ztmpfs {

/// The metrics of several mounts (the answers of GET /metrics) as one text: each metric once, with the samples of all
/// mounts, which their label `mount` tells apart. A metric's description is the one of the first text that has it.
std::string merge_metrics(const std::vector<std::string>& texts);

}  // namespace ztmpfs
