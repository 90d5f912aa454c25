#include "daemon/config_file.h"

#include <unistd.h>

#include <toml++/toml.h>
#include <sstream>

namespace ztmpfs {

namespace {

std::string octal(int64_t number) {
  std::ostringstream text;
  text << std::oct << number;
  return text.str();
}

// "mode = 755" would be decimal in TOML, which nobody means.
std::string number_text(const std::string& key, const toml::value<int64_t>& number, const std::string& origin) {
  if (key != "mode") return std::to_string(number.get());
  if ((number.flags() & toml::value_flags::format_as_octal) == toml::value_flags::none)
    throw UsageError("option 'mode'" + origin + " must be written as a string (\"1777\") or as octal (0o1777)");
  return octal(number.get());
}

std::string value_text(const std::string& key, const toml::node& node, const std::string& origin) {
  if (const auto* number = node.as_integer()) return number_text(key, *number, origin);
  const auto* text = node.as_string();
  if (text == nullptr)
    throw UsageError("option '" + key + "'" + origin + " is neither a text, a number nor true or false");
  // The text goes through -o lists on its way to fusermount3 and to the server.
  if (text->get().find(',') != std::string::npos)
    throw UsageError("option '" + key + "'" + origin + " contains a comma");
  return text->get();
}

}  // namespace

std::vector<Setting> read_config_file(const std::string& config_dir, const std::string& name) {
  const std::string path = config_dir + "/" + name + ".toml";
  if (::access(path.c_str(), F_OK) != 0) return {};
  const std::string origin = " in " + path;
  std::vector<Setting> settings;
  try {
    for (const auto& [toml_key, node] : toml::parse_file(path)) {
      const std::string key(toml_key.str());
      if (const auto* flag = node.as_boolean()) {
        if (flag->get()) settings.push_back({key, std::nullopt, origin});
      } else {
        settings.push_back({key, value_text(key, node, origin), origin});
      }
    }
  } catch (const toml::parse_error& error) {
    throw UsageError("cannot read " + path + ", line " + std::to_string(error.source().begin.line) + ": " +
                     std::string(error.description()));
  }
  return settings;
}

}  // namespace ztmpfs
