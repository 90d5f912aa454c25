#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>

#include "daemon/command_line.h"
#include "daemon/options.h"

namespace ztmpfs {
namespace {

using testing::HasSubstr;

const Surroundings kSurroundings{.config_dir = "", .usable_ram = 8 * kGiB, .cpus = 2, .uid = 0, .gid = 0};

std::string page_of(const std::string& name) {
  std::ifstream file(ZTMPFS_SOURCE_DIR "/docs/" + name);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string man_page() { return page_of("ztmpfs.8.md"); }

bool is_reserved(std::string_view name) {
  try {
    resolve_options("a", "/mnt", {{std::string(name), std::nullopt, ""}}, kSurroundings);
  } catch (const UsageError& error) {
    return std::string(error.what()).find("not in this version") != std::string::npos;
  }
  return false;
}

// What stands between backquotes at the beginning of the lines before ": ..." in the section "## Keys".
std::set<std::string> keys_of_config_page() {
  const std::string page = page_of("ztmpfs.toml.5.md");
  const size_t begin = page.find("## Keys");
  std::istringstream section(page.substr(begin, page.find("\n## ", begin) - begin));
  std::set<std::string> keys;
  for (std::string line; std::getline(section, line);) {
    if (!line.starts_with('`')) continue;
    std::istringstream words(line);
    for (std::string word; words >> word;) keys.insert(word.substr(1, word.rfind('`') - 1));
  }
  return keys;
}

TEST(Documentation, ConfigPageHasEveryKeyAndNoOther) {
  const std::set<std::string> keys = keys_of_config_page();
  EXPECT_EQ(keys.count("mountpoint"), 1U);
  for (const std::string_view name : option_names()) EXPECT_EQ(keys.count(std::string(name)), 1U) << name;
  for (const std::string& key : keys) {
    if (key == "mountpoint" || is_reserved(key)) continue;
    EXPECT_NO_THROW(check_option_name({key, std::nullopt, ""})) << key;
  }
}

TEST(Documentation, ExampleConfigurationIsTaken) {
  Surroundings surroundings = kSurroundings;
  surroundings.config_dir = ZTMPFS_SOURCE_DIR "/packaging";
  EXPECT_EQ(parse_command_line({"example"}, surroundings).options.mountpoint, "/srv/build");
}

TEST(Documentation, ManPageNamesEveryOption) {
  const std::string page = man_page();
  for (const std::string_view name : option_names()) EXPECT_THAT(page, HasSubstr("`" + std::string(name)));
}

TEST(Documentation, HelpNamesEveryOptionOfThisVersion) {
  const std::string help = parse_command_line({"--help"}, kSurroundings).text_to_print;
  size_t reserved = 0;
  for (const std::string_view name : option_names()) {
    if (is_reserved(name)) {
      ++reserved;
    } else {
      EXPECT_THAT(help, HasSubstr(std::string(name)));
    }
  }
  EXPECT_EQ(reserved, 4U);
}

TEST(Documentation, EveryFlagOfTheManPageIsTaken) {
  const std::string page = man_page();
  const size_t begin = page.find("`ro rw ") + 1;
  std::istringstream flags(page.substr(begin, page.find('`', begin) - begin));
  size_t count = 0;
  for (std::string flag; flags >> flag; ++count)
    EXPECT_NO_THROW(resolve_options("a", "/mnt", {{flag, std::nullopt, ""}}, kSurroundings)) << flag;
  EXPECT_EQ(count, 25U);
}

}  // namespace
}  // namespace ztmpfs
