#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ztmpfs {

/// Prometheus' text format 0.0.4, read strictly: what the parser of Prometheus takes, what `promtool check metrics`
/// would complain about, and our own rules (each family once and in one piece, HELP and TYPE before it, in this order).
struct Exposition {
  struct Sample {
    std::string name;
    std::map<std::string, std::string> labels;
    double value;
  };

  std::map<std::string, std::string> types;  ///< by family
  std::vector<Sample> samples;
  std::vector<std::string> breaches;  ///< a sentence each

  explicit Exposition(std::string_view text);
  /// The value of the sample with this name and, among its labels, these. NaN if there is none.
  double value(const std::string& name, const std::map<std::string, std::string>& labels = {}) const;
};

}  // namespace ztmpfs
