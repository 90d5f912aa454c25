// The reader of the exposition format finds what is wrong: else the tests that use it say nothing.
#include "tests/daemon/exposition.h"

#include <gtest/gtest.h>

namespace ztmpfs {
namespace {

constexpr const char* kHead = "# HELP ztmpfs_files Files.\n# TYPE ztmpfs_files gauge\n";
constexpr const char* kHistogram =
    "# HELP ztmpfs_time_seconds Time.\n# TYPE ztmpfs_time_seconds histogram\n"
    "ztmpfs_time_seconds_bucket{mount=\"a\",le=\"0.1\"} 1\nztmpfs_time_seconds_bucket{mount=\"a\",le=\"+Inf\"} 3\n"
    "ztmpfs_time_seconds_sum{mount=\"a\"} 0.5\nztmpfs_time_seconds_count{mount=\"a\"} 3\n";

std::string with(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Exposition, WellFormedTextIsTaken) {
  const Exposition gauge(std::string(kHead) + "ztmpfs_files{mount=\"a\\\\\\\"\\nb\"} 1.5e+3\n");
  EXPECT_EQ(gauge.breaches, std::vector<std::string>());
  EXPECT_EQ(gauge.value("ztmpfs_files", {{"mount", "a\\\"\nb"}}), 1500);
  const Exposition histogram(kHistogram);
  EXPECT_EQ(histogram.breaches, std::vector<std::string>());
  EXPECT_EQ(histogram.value("ztmpfs_time_seconds_bucket", {{"le", "+Inf"}}), 3);
}

TEST(Exposition, MalformedSamplesAreFound) {
  for (const char* sample : {"ztmpfs_files 1\n",
                             "ztmpfs_files{} 1\n",
                             "ztmpfs_files{mount=\"a\"} 1",
                             "ztmpfs_files{mount=\"a\"}\n",
                             "ztmpfs_files{mount=\"a\"} one\n",
                             "ztmpfs_files{mount=\"a\"} 1 x\n",
                             "ztmpfs_files{mount=a} 1\n",
                             "ztmpfs_files{mount=\"a\",} 1\n",
                             "ztmpfs_files{mount=\"a\",mount=\"a\"} 1\n",
                             "ztmpfs_files{mount=\"a\",1b=\"c\"} 1\n",
                             "ztmpfs_files{mount=\"a\",__b=\"c\"} 1\n",
                             "ztmpfs_files{mount=\"a\\t\"} 1\n",
                             "ztmpfs_files{mount=\"a\"b\"} 1\n",
                             "ztmpfs_files{path=\"a\"} 1\n",
                             "ztmpfs_files{mount=\"a\",le=\"1\"} 1\n",
                             "ztmpfs_other{mount=\"a\"} 1\n",
                             "\n",
                             "# a remark\n",
                             "",
                             "ztmpfs_files{mount=\"a\"} 1\nztmpfs_files{mount=\"a\"} 2\n"})
    EXPECT_NE(Exposition(std::string(kHead) + sample).breaches, std::vector<std::string>()) << sample;
}

TEST(Exposition, MalformedFamiliesAreFound) {
  const std::string good = std::string(kHead) + "ztmpfs_files{mount=\"a\"} 1\n";
  const std::string sample = "ztmpfs_files{mount=\"a\"} 1\n";
  for (const std::string& text :
       {sample, "# HELP ztmpfs_files Files.\n" + sample, "# TYPE ztmpfs_files gauge\n" + sample, good + good,
        with(good, "gauge", "counter"), with(good, "gauge", "number"), with(good, " Files.", "")})
    EXPECT_NE(Exposition(text).breaches, std::vector<std::string>()) << text;
}

TEST(Exposition, NamesThatPromtoolWouldComplainAboutAreFound) {
  for (const char* name : {"ztmpfs_files_total", "ztmpfs_Files", "files", "ztmpfs_milliseconds", "ztmpfs_wait_ms",
                           "ztmpfs_size_kb", "ztmpfs_files_count", "ztmpfs_files_gauge", "ztmpfs_bytes_used"}) {
    const std::string head = "# HELP " + std::string(name) + " Files.\n# TYPE " + name + " gauge\n";
    EXPECT_NE(Exposition(head + name + "{mount=\"a\"} 1\n").breaches, std::vector<std::string>()) << name;
  }
}

TEST(Exposition, HistogramsThatAreNoneAreFound) {
  for (const auto& [from, to] :
       {std::pair("le=\"0.1\"} 1", "le=\"0.1\"} 4"), std::pair("le=\"+Inf\"", "le=\"9\""), std::pair("_sum", "_total"),
        std::pair("_count{mount=\"a\"} 3", "_count{mount=\"a\"} 2"), std::pair(",le=\"0.1\"", ""),
        std::pair("le=\"0.1\"", "le=\"low\"")})
    EXPECT_NE(Exposition(with(kHistogram, from, to)).breaches, std::vector<std::string>()) << from;
}

}  // namespace
}  // namespace ztmpfs
