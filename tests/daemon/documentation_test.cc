#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "daemon/command_line.h"
#include "daemon/options.h"

namespace ztmpfs {
namespace {

using testing::HasSubstr;

const Surroundings kSurroundings{.config_dir = "", .usable_ram = 8 * kGiB, .cpus = 2, .uid = 0, .gid = 0};

std::string man_page() {
  std::ifstream file(ZTMPFS_SOURCE_DIR "/docs/ztmpfs.8.md");
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Documentation, ManPageNamesEveryOption) {
  const std::string page = man_page();
  for (const std::string_view name : option_names()) EXPECT_THAT(page, HasSubstr("`" + std::string(name)));
}

bool is_reserved(std::string_view name) {
  try {
    resolve_options("a", "/mnt", {{std::string(name), std::nullopt, ""}}, kSurroundings);
  } catch (const UsageError& error) {
    return std::string(error.what()).find("not in this version") != std::string::npos;
  }
  return false;
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
