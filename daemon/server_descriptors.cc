#include "daemon/server_descriptors.h"

#include <fcntl.h>

#include <charconv>
#include <stdexcept>

namespace ztmpfs {

namespace {

// Takes the next field off the front of `rest`.
std::string_view next_field(std::string_view& rest) {
  const size_t comma = rest.find(',');
  const std::string_view field = rest.substr(0, comma);
  rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  return field;
}

UniqueFd next_descriptor(std::string_view& rest) {
  const std::string_view field = next_field(rest);
  int fd = -1;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), fd);
  if (error != std::errc{} || end != field.data() + field.size() || ::fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
    throw std::invalid_argument("'" + std::string(field) + "' is not an open descriptor");
  return UniqueFd(fd);
}

}  // namespace

std::string format_server_argument(ServerDescriptors& descriptors) {
  std::string text(kServerArgument);
  for (const UniqueFd* fd : descriptors.all()) text += std::to_string(fd->get()) + ",";
  return text + descriptors.device;
}

std::string format_image_argument(std::string_view kind, const ImageFiles& image) {
  return std::string(kind) + std::to_string(image.meta.get()) + "," + std::to_string(image.data.get()) + "," +
         std::to_string(image.buffers.get());
}

ImageFiles parse_image_argument(std::string_view kind, std::string_view argument) {
  if (!argument.starts_with(kind)) throw std::invalid_argument("not an argument of the form " + std::string(kind));
  std::string_view rest = argument.substr(kind.size());
  ImageFiles image;
  for (UniqueFd* fd : {&image.meta, &image.data, &image.buffers}) *fd = next_descriptor(rest);
  return image;
}

ServerDescriptors parse_server_argument(std::string_view argument) {
  if (!argument.starts_with(kServerArgument)) throw std::invalid_argument("not the first argument of a server");
  std::string_view rest = argument.substr(kServerArgument.size());
  ServerDescriptors descriptors;
  for (UniqueFd* fd : descriptors.all()) *fd = next_descriptor(rest);
  descriptors.device = std::string(next_field(rest));
  return descriptors;
}

}  // namespace ztmpfs
