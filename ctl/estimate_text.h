#pragma once

#include <string>

#include "ctl/sample_plan.h"
#include "ctl/tree_estimate.h"
#include "ctl/tree_walk.h"

namespace ztmpfs {

/// All that `estimate` has found out.
struct EstimateReport {
  std::vector<std::string> paths;
  TreeContents tree;
  SamplePlan plan;
  TreeEstimate estimate;
};

/// For people.
std::string estimate_text(const EstimateReport& report, bool has_colours);

/// For programs: one JSON object.
std::string estimate_json(const EstimateReport& report);

}  // namespace ztmpfs
