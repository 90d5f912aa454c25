#include "base/mount_record.h"

#include <stdexcept>

namespace ztmpfs {

namespace {

std::string take_part(std::string_view& rest) {
  const size_t end = rest.find('\0');
  if (end == std::string_view::npos) throw std::invalid_argument("the image does not tell what it was mounted as");
  std::string part(rest.substr(0, end));
  rest.remove_prefix(end + 1);
  return part;
}

}  // namespace

std::string MountDescription::format() const {
  std::string text;
  for (const std::string* part : {&mountpoint, &device, &options}) {
    text.append(*part);
    text.push_back('\0');
  }
  if (text.size() > MountRecord::kTextMax) throw std::length_error("the options of the mount are too long");
  return text;
}

MountDescription MountDescription::parse(std::string_view text) {
  MountDescription description;
  for (std::string* part : {&description.mountpoint, &description.device, &description.options})
    *part = take_part(text);
  return description;
}

}  // namespace ztmpfs
