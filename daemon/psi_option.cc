#include "daemon/psi_option.h"

#include <algorithm>

namespace ztmpfs {

bool PsiOption::names_trigger(PressureLevel level) const {
  return std::ranges::find(triggers, level, &PsiTrigger::level) != triggers.end();
}

PsiTrigger PsiOption::trigger(PressureLevel level) const {
  const auto found = std::ranges::find(triggers, level, &PsiTrigger::level);
  return found != triggers.end() ? *found : default_psi_trigger(level);
}

std::expected<PsiOption, std::string> parse_psi_option(std::string_view text) {
  PsiOption option;
  if (text == "off") {
    option.is_off = true;
    return option;
  }
  if (text.starts_with('/')) {
    option.path = text;
    return option;
  }
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find('+', begin), text.size());
    const auto trigger = parse_psi_trigger(text.substr(begin, end - begin));
    if (!trigger) return std::unexpected(trigger.error());
    if (option.names_trigger(trigger->level))
      return std::unexpected("has two triggers for " + std::string(to_string(trigger->level)));
    option.triggers.push_back(*trigger);
    begin = end + 1;
  }
  return option;
}

std::string psi_option_error(std::string_view text) {
  const auto option = parse_psi_option(text);
  return option ? "" : option.error();
}

}  // namespace ztmpfs
