#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

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

// What stands in backquotes at the beginning of the lines above ": ..." between the two headings.
std::vector<std::string> terms_between(const std::string& page, const std::string& begin, const std::string& end) {
  const size_t first = page.find("\n" + begin + "\n");
  std::istringstream section(page.substr(first, page.find("\n" + end + "\n", first) - first));
  std::vector<std::string> terms;
  std::string before;
  for (std::string line; std::getline(section, line); before = line) {
    if (!line.starts_with(": ")) continue;
    for (size_t at = before.find('`'); at != std::string::npos; at = before.find('`', at + 1)) {
      const size_t behind = before.find('`', at + 1);
      terms.push_back(before.substr(at + 1, behind - at - 1));
      at = behind;
    }
  }
  return terms;
}

// Options that are no setting of a mount.
bool is_order(const std::string& option) { return option == "remount" || option == "by_service"; }

TEST(Documentation, ManPageHasNoOptionOfAMountThatTheParserDoesNotKnow) {
  const auto terms = terms_between(man_page(), "### Options of the mount", "## Running a command");
  EXPECT_GT(terms.size(), 25U);
  for (const std::string& term : terms) {
    std::istringstream words(term == "x-*" ? "x-some" : term);
    for (std::string word; words >> word;) {
      const std::string name = word.substr(0, word.find('='));
      if (is_order(name) || is_reserved(name)) continue;
      EXPECT_NO_THROW(check_option_name({name, std::nullopt, ""})) << term;
    }
  }
}

TEST(Documentation, ManPageHasEveryOptionOfTheCommandLineAndNoOther) {
  std::set<std::string> documented;
  for (const std::string& term : terms_between(man_page(), "## Options", "### Options of the mount"))
    documented.insert(term.substr(0, term.find_first_of(" =")));
  const std::string help = parse_command_line({"--help"}, kSurroundings).text_to_print;
  std::istringstream lines(help.substr(0, help.find("Options for -o")));
  std::set<std::string> shown;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("  -")) continue;
    std::istringstream words(line.substr(2, line.find(' ', 2) - 2));
    for (std::string word; std::getline(words, word, ',');) shown.insert(word);
  }
  EXPECT_EQ(documented, shown);
}

// A list in a completion: NAME='a b', NAME=(a b) or set -l NAME a b, which may go on in the next line.
std::set<std::string> completion_words(const std::string& file, const std::string& name) {
  std::ifstream stream(std::string(ZTMPFS_SOURCE_DIR "/packaging/completions/") + file);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  const bool is_fish = file.ends_with(".fish");
  size_t begin = text.find(is_fish ? "set -l " + name + " " : name + "=");
  EXPECT_NE(begin, std::string::npos) << file << ": " << name;
  begin = is_fish ? begin + name.size() + 8 : begin + name.size() + 2;
  size_t end = text.find_first_of(is_fish ? "\n" : "')", begin);
  if (is_fish && text[end - 1] == '\\') end = text.find('\n', end + 1);
  std::istringstream words(text.substr(begin, end - begin));
  std::set<std::string> result;
  for (std::string word; words >> word;)
    if (word != "\\") result.insert(word);
  return result;
}

class Completions : public testing::TestWithParam<std::pair<const char*, const char*>> {
 protected:
  static std::set<std::string> words(const std::string& list) {
    return completion_words(GetParam().first, GetParam().second + list);
  }
};

bool takes_value(const std::string& name) {
  try {
    resolve_options("a", "/mnt", {{name, std::nullopt, ""}}, kSurroundings);
  } catch (const UsageError& error) {
    return std::string(error.what()).find("needs a value") != std::string::npos;
  }
  return false;
}

TEST_P(Completions, HaveEveryOptionOfAMountAndNoOther) {
  std::set<std::string> with_value;
  std::set<std::string> plain{"remount"};
  for (const std::string_view view : option_names()) {
    const std::string name(view);
    if (!is_reserved(name)) (takes_value(name) ? with_value : plain).insert(name);
  }
  EXPECT_EQ(words("value_options"), with_value);
  EXPECT_EQ(words("plain_options"), plain);
}

TEST_P(Completions, HaveEveryFlag) {
  const std::string page = man_page();
  const size_t begin = page.find("`ro rw ") + 1;
  std::istringstream flags(page.substr(begin, page.find('`', begin) - begin));
  EXPECT_EQ(words("flags"), (std::set<std::string>{std::istream_iterator<std::string>(flags), {}}));
}

INSTANTIATE_TEST_SUITE_P(Shells, Completions,
                         testing::Values(std::pair{"ztmpfs.bash", "_ztmpfs_"}, std::pair{"_ztmpfs", ""},
                                         std::pair{"ztmpfs.fish", ""}),
                         [](const auto& shell) {
                           return shell.index == 0 ? "Bash" : shell.index == 1 ? "Zsh" : "Fish";
                         });

}  // namespace
}  // namespace ztmpfs
