#include "ctl/metrics_text.h"

#include <algorithm>
#include <sstream>
#include <string_view>

namespace ztmpfs {

namespace {

struct Family {
  std::string name;
  std::string description;  // the lines that begin with '#'
  std::string samples;
};

// The second word of "# HELP name text".
std::string name_of(const std::string& line) {
  std::istringstream words(line);
  std::string word;
  for (int i = 0; i < 3; ++i) words >> word;
  return word;
}

// Where a family is inserted that is not there yet: in the order of the text that brings it.
void add(std::vector<Family>& families, const std::string& text) {
  size_t at = families.size();
  size_t next = 0;
  bool is_known = false;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# HELP ")) {
      const std::string name = name_of(line);
      const auto found = std::ranges::find(families, name, &Family::name);
      is_known = found != families.end();
      at = is_known ? size_t(found - families.begin()) : next;
      if (!is_known) families.insert(families.begin() + ptrdiff_t(at), Family{name, "", ""});
      next = at + 1;
    }
    if (at == families.size()) continue;
    if (!line.starts_with('#')) {
      families[at].samples += line + "\n";
    } else if (!is_known) {
      families[at].description += line + "\n";
    }
  }
}

}  // namespace

std::string merge_metrics(const std::vector<std::string>& texts) {
  std::vector<Family> families;
  for (const std::string& text : texts) add(families, text);
  std::string merged;
  for (const Family& family : families) merged += family.description + family.samples;
  return merged;
}

}  // namespace ztmpfs
