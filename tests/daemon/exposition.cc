#include "tests/daemon/exposition.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <regex>
#include <set>
#include <utility>

namespace ztmpfs {

namespace {

bool is_match(const std::string& text, const char* pattern) { return std::regex_match(text, std::regex(pattern)); }

bool ends_with_any(const std::string& name, std::initializer_list<const char*> suffixes) {
  return std::ranges::any_of(suffixes, [&](const char* suffix) { return name.ends_with(suffix); });
}

// What `promtool check metrics` has to say of a name (github.com/prometheus/client_golang, promlint).
std::string lint_name(const std::string& name, const std::string& type) {
  static const std::regex kBadUnit(
      "(^|_)(milliseconds|microseconds|nanoseconds|minutes|hours|days|kilobytes|kibibytes|"
      "megabytes|mebibytes|gigabytes|gibibytes|bits|percent|ms|us|ns|sec|s|b|kb|mb|gb|m|h|d)"
      "(_|$)");
  if (!is_match(name, "ztmpfs(_[a-z0-9]+)+")) return "is not of the form ztmpfs_small_letters";
  if (std::regex_search(name, kBadUnit)) return "has a unit that is no base unit";
  if ((type == "counter") != name.ends_with("_total")) return "is a counter, or ends in _total, but not both";
  if (ends_with_any(name, {"_bucket", "_sum", "_count"})) return "ends as a part of a histogram";
  if (std::regex_search(name, std::regex("_(counter|gauge|histogram|summary)(_|$)"))) return "tells its type";
  const size_t at = name.find("_bytes");
  if (at != std::string::npos && !is_match(name.substr(at), "_bytes(_total)?")) return "has its unit not at the end";
  return "";
}

class Reading {
 public:
  explicit Reading(Exposition& result) : result_(result) {}

  void read(std::string_view text) {
    if (!text.ends_with('\n')) complain("the last line has no end");
    while (!text.empty()) {
      const size_t end = text.find('\n');
      line_ = std::string(text.substr(0, end));
      text.remove_prefix(std::min(end, text.size() - 1) + 1);
      read_line();
    }
    end_family();
  }

 private:
  using Labels = std::map<std::string, std::string>;

  void complain(const std::string& sentence) { result_.breaches.push_back(sentence + ": " + line_); }

  void read_line() {
    std::smatch match;
    if (std::regex_match(line_, match, std::regex("# HELP (\\S+) (.+)"))) {
      const std::string name = match[1];
      end_family();
      family_ = name;
      type_.clear();
      if (!families_.insert(family_).second) complain("a family is there twice");
    } else if (std::regex_match(line_, match, std::regex("# TYPE (\\S+) (counter|gauge|histogram)"))) {
      if (match[1] != family_ || !type_.empty() || has_samples_) complain("TYPE does not follow its HELP");
      type_ = match[2];
      result_.types[family_] = type_;
      if (const std::string problem = lint_name(family_, type_); !problem.empty()) complain("the name " + problem);
    } else if (line_.starts_with('#') || line_.empty()) {
      complain("a line that is neither HELP, TYPE nor a sample");
    } else {
      read_sample();
    }
  }

  void read_sample() {
    std::smatch match;
    if (!std::regex_match(line_, match, std::regex("([a-z_0-9]+)\\{(.*)\\} (\\S+)"))) return complain("no sample");
    const std::string name = match[1];
    const auto labels = read_labels(match[2]);
    const auto value = read_number(match[3]);
    if (!labels || !value) return;
    has_samples_ = true;
    if (type_.empty()) complain("a sample before its TYPE");
    if (!labels->contains("mount")) complain("no label mount");
    if (!series_.emplace(name, *labels).second) complain("a series is there twice");
    if (type_ == "counter" && !(*value >= 0)) complain("a counter below 0");
    check_part(name, *labels, *value);
    result_.samples.push_back({name, *labels, *value});
  }

  // name="value",name="value"
  std::optional<Labels> read_labels(std::string text) {
    static const std::regex kLabel(R"re(([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$))re");
    Labels labels;
    std::smatch match;
    for (bool is_first = true; !text.empty() || is_first; is_first = false) {
      if (!std::regex_search(text, match, kLabel, std::regex_constants::match_continuous)) {
        complain("no label at '" + text + "'");
        return {};
      }
      if (match[1].str().starts_with("__")) complain("a label that is Prometheus' own");
      if (!labels.emplace(match[1], unescape(match[2])).second) complain("a label is there twice");
      if (match[3] == "," && match.suffix().length() == 0) complain("a comma at the end");
      text = match.suffix();
    }
    return labels;
  }

  static std::string unescape(const std::string& text) {
    std::string plain;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\\') {
        plain += text[i];
      } else {
        ++i;
        plain += text[i] == 'n' ? '\n' : text[i];
      }
    }
    return plain;
  }

  std::optional<double> read_number(const std::string& text) {
    if (text == "+Inf") return std::numeric_limits<double>::infinity();
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc{} && end == text.data() + text.size() && std::isfinite(value)) return value;
    complain("no number");
    return {};
  }

  void check_part(const std::string& name, const Labels& labels, double value) {
    if (type_ != "histogram") {
      if (name != family_) complain("a sample of another family");
      if (labels.contains("le") || labels.contains("quantile")) complain("a label that belongs to histograms");
      return;
    }
    Labels rest = labels;
    rest.erase("le");
    Parts& parts = parts_[rest];
    if (name == family_ + "_sum") {
      parts.sum = value;
    } else if (name == family_ + "_count") {
      parts.count = value;
    } else if (name == family_ + "_bucket" && labels.contains("le")) {
      const auto bound = read_number(labels.at("le"));
      if (bound) parts.buckets.emplace_back(*bound, value);
    } else {
      complain("no part of a histogram");
    }
  }

  void end_family() {
    line_ = family_;
    if (!family_.empty() && type_.empty()) complain("no TYPE");
    if (!family_.empty() && !has_samples_) complain("no samples");
    for (const auto& [labels, parts] : parts_) {
      if (!std::ranges::is_sorted(parts.buckets)) complain("buckets are not in order, or not cumulative");
      if (!std::ranges::is_sorted(parts.buckets, {}, &std::pair<double, double>::second)) complain("not cumulative");
      if (parts.buckets.empty() || !std::isinf(parts.buckets.back().first)) {
        complain("no bucket +Inf");
      } else if (parts.count != parts.buckets.back().second) {
        complain("_count is not the bucket +Inf");
      }
      if (!parts.sum) complain("no _sum");
    }
    parts_.clear();
    has_samples_ = false;
  }

  struct Parts {
    std::optional<double> sum;
    std::optional<double> count;
    std::vector<std::pair<double, double>> buckets;  // bound, count
  };

  Exposition& result_;
  std::string line_;
  std::string family_;
  std::string type_;
  bool has_samples_ = false;
  std::map<Labels, Parts> parts_;
  std::set<std::string> families_;
  std::set<std::pair<std::string, Labels>> series_;
};

}  // namespace

Exposition::Exposition(std::string_view text) { Reading(*this).read(text); }

double Exposition::value(const std::string& name, const std::map<std::string, std::string>& wanted) const {
  for (const Sample& sample : samples) {
    const auto has = [&](const auto& label) {
      const auto found = sample.labels.find(label.first);
      return found != sample.labels.end() && found->second == label.second;
    };
    if (sample.name == name && std::ranges::all_of(wanted, has)) return sample.value;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace ztmpfs
