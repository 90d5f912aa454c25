#pragma once

#include <string>
#include <string_view>

#include "base/image.h"
#include "base/unique_fd.h"

namespace ztmpfs {

/// What the holder hands to a server it starts: open descriptors, by their numbers, and which mount it is.
struct ServerDescriptors {
  UniqueFd fuse;       ///< /dev/fuse
  ImageFiles image;    ///< the state of the mount
  UniqueFd ready;      ///< write end: "R" once the mount is usable, or the sentence why it is not, then closed
  UniqueFd holder;     ///< read end: becomes readable (end of file) when the holder has died
  UniqueFd lock;       ///< the claim on the name, held for as long as this process lives
  std::string device;  ///< "MAJOR:MINOR" of the mount
};

/// The first argument of a server; what follows it are the options.
inline constexpr std::string_view kServerArgument = "--server=";

/// What a server writes to ServerDescriptors::ready when the mount is usable.
inline constexpr char kReady = 'R';

/// "--server=3,4,...": no descriptor changes hands.
std::string format_server_argument(const ServerDescriptors& descriptors);

/// The other way round; the result owns the descriptors, which programs started from here do not inherit.
/// Throws std::invalid_argument.
ServerDescriptors parse_server_argument(std::string_view argument);

}  // namespace ztmpfs
