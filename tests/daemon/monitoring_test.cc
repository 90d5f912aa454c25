// What docs/ gives to Prometheus and Grafana speaks of metrics that there are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "daemon/metrics.h"

namespace ztmpfs {
namespace {

namespace json = boost::json;
using testing::AllOf;
using testing::Contains;
using testing::IsEmpty;
using testing::Not;

std::string read_document(const std::string& name) {
  std::ifstream file(ZTMPFS_SOURCE_DIR "/docs/" + name);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The series that Prometheus has of ours.
std::set<std::string> series() {
  std::set<std::string> names;
  for (const Metric& metric : metrics()) {
    const std::string name(metric.name);
    if (metric.type != MetricType::kHistogram) {
      names.insert(name);
    } else {
      for (const char* suffix : {"_bucket", "_sum", "_count"}) names.insert(name + suffix);
    }
  }
  return names;
}

// The names of metrics of ours in the text that there are not.
std::vector<std::string> unknown_names(const std::string& text) {
  static const std::regex kName("ztmpfs_[a-z_]+");
  const std::set<std::string> known = series();
  std::vector<std::string> unknown;
  for (std::sregex_iterator at(text.begin(), text.end(), kName); at != std::sregex_iterator(); ++at)
    if (!known.contains(at->str())) unknown.push_back(at->str());
  return unknown;
}

void collect_expressions(const json::value& value, std::vector<std::string>& found) {
  if (value.is_array())
    for (const json::value& part : value.as_array()) collect_expressions(part, found);
  if (!value.is_object()) return;
  for (const auto& [key, part] : value.as_object()) {
    if (key == "expr") found.emplace_back(part.as_string());
    collect_expressions(part, found);
  }
}

std::vector<std::string> expressions_of_the_dashboard() {
  std::vector<std::string> found;
  collect_expressions(json::parse(read_document("grafana-dashboard.json")), found);
  return found;
}

// Exit status of `promtool check rules` for these rules.
int promtool_status(const std::string& rules) {
  const std::string path = testing::TempDir() + "ztmpfs-rules-" + std::to_string(::getpid()) + ".yml";
  std::ofstream(path) << rules;
  const int status = std::system(("promtool check rules " + path + " 1>&2").c_str());
  std::remove(path.c_str());
  return status;
}

bool has_promtool() { return std::system("command -v promtool >/dev/null") == 0; }

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

TEST(Dashboard, NamesOnlyMetricsThatThereAre) {
  const auto expressions = expressions_of_the_dashboard();
  EXPECT_GT(expressions.size(), 20U);
  for (const std::string& expression : expressions) EXPECT_THAT(unknown_names(expression), IsEmpty()) << expression;
}

TEST(Dashboard, ChoosesMountsInEachExpression) {
  for (const std::string& expression : expressions_of_the_dashboard())
    EXPECT_THAT(unknown_names(replaced(expression, "{mount=~\"$mount\",instance=~\"$instance\"}", "_chosen")),
                AllOf(Not(IsEmpty()), Not(Contains(Not(testing::EndsWith("_chosen"))))))
        << expression;
}

TEST(Dashboard, ShowsWhatMattersMost) {
  std::string all;
  for (const std::string& expression : expressions_of_the_dashboard()) all += expression + "\n";
  for (const char* name :
       {"ztmpfs_memory_used_bytes", "ztmpfs_memory_limit_bytes", "ztmpfs_contents_bytes", "ztmpfs_hot_bytes",
        "ztmpfs_same_filled_blocks", "ztmpfs_requests_total", "ztmpfs_request_duration_seconds_bucket",
        "ztmpfs_psi_events_total", "ztmpfs_reclaim_freed_bytes_total", "ztmpfs_server_restarts_total"})
    EXPECT_THAT(all, testing::HasSubstr(name));
}

TEST(Dashboard, PromtoolTakesEachExpression) {
  if (!has_promtool()) GTEST_SKIP() << "promtool (package prometheus) is not installed";
  std::string rules = "groups:\n  - name: dashboard\n    rules:\n";
  size_t number = 0;
  for (std::string expression : expressions_of_the_dashboard()) {
    expression = replaced(replaced(expression, "$__rate_interval", "5m"), "'", "''");
    rules += "      - record: test:" + std::to_string(number++) + "\n        expr: '" + expression + "'\n";
  }
  EXPECT_EQ(promtool_status(replaced(rules, "test:", "test:n")), 0) << rules;
}

TEST(AlertRules, NameOnlyMetricsThatThereAre) {
  const std::string rules = read_document("alert-rules.yml");
  EXPECT_THAT(rules, testing::HasSubstr("expr: ztmpfs_"));
  EXPECT_THAT(unknown_names(rules), IsEmpty());
}

TEST(AlertRules, AreThoseOfTheDocument) {
  const std::string rules = read_document("alert-rules.yml");
  const std::string document = read_document("monitoring.md");
  static const std::regex kAlert("alert: (\\w+)");
  size_t count = 0;
  for (std::sregex_iterator at(rules.begin(), rules.end(), kAlert); at != std::sregex_iterator(); ++at, ++count)
    EXPECT_THAT(document, testing::HasSubstr((*at)[1].str()));
  EXPECT_GT(count, 5U);
}

TEST(AlertRules, PromtoolTakesThem) {
  if (!has_promtool()) GTEST_SKIP() << "promtool (package prometheus) is not installed";
  EXPECT_EQ(promtool_status(read_document("alert-rules.yml")), 0);
}

TEST(Monitoring, DocumentNamesOnlyMetricsThatThereAre) {
  EXPECT_THAT(unknown_names(read_document("monitoring.md")), IsEmpty());
}

}  // namespace
}  // namespace ztmpfs
