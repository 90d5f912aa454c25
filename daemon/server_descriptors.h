#pragma once

#include <array>
#include <string>
#include <string_view>

#include "base/image.h"
#include "base/unique_fd.h"

namespace ztmpfs {

/// What the holder hands to each server it starts: open descriptors, by their numbers, and which mount it is.
struct ServerDescriptors {
  UniqueFd fuse;       ///< /dev/fuse
  ImageFiles image;    ///< the state of the mount
  UniqueFd ready;      ///< write end: kAttached, then kReady, then news; or the sentence why not
  UniqueFd orders;     ///< read end: ServerOrder bytes from the holder; end of file when it has died
  UniqueFd lock;       ///< the claim on the name, held for as long as this process lives
  UniqueFd control;    ///< listens on the control socket
  std::string device;  ///< "MAJOR:MINOR" of the mount

  /// All of them, in the order in which they are told.
  std::array<UniqueFd*, 8> all() {
    return {&fuse, &image.meta, &image.data, &image.buffers, &ready, &orders, &lock, &control};
  }
};

/// The first argument of a server; what follows it are the options.
inline constexpr std::string_view kServerArgument = "--server=";

/// What a server writes to ServerDescriptors::ready: when it has taken up the image, and when the mount is usable.
inline constexpr char kAttached = 'A';
inline constexpr char kReady = 'R';

/// What a server that is ready writes there: one of these bytes, a text, and kNewsEnd, all at once.
enum class ServerNews : char {
  kStatus = '\x01',         ///< what the mount holds, as told by `systemctl status`
  kReloaded = '\x02',       ///< the configuration is in effect; warnings
  kReloadRefused = '\x03',  ///< nothing has changed; the sentence why not
};
inline constexpr char kNewsEnd = '\n';
inline constexpr size_t kNewsMax = 1024;  ///< bytes of a text; a pipe takes more than that at once

/// What the holder asks of its server, one byte each.
enum class ServerOrder : char {
  kUnmount = 'U',     ///< unmount, and end then
  kPark = 'P',        ///< finish the requests that were begun, and leave; the mount stays
  kOwnName = 'N',     ///< the name is the holder's alone now: should it die, remove what is left of it
  kReload = 'L',      ///< read the configuration again; ServerNews tell the outcome
  kTellStatus = 'S',  ///< from now on: ServerNews::kStatus now and then
  kOutlive = 'O',     ///< from now on: should the holder die, park; somebody else will start a server again
};

/// Exit codes of a server besides 0, the mount has ended, and 1, it failed: it was parked; it has ended the mount
/// although somebody was using it.
inline constexpr int kExitParked = 3;
inline constexpr int kExitCutOff = 4;

/// "--server=3,4,...": no descriptor changes hands.
std::string format_server_argument(ServerDescriptors& descriptors);

/// The other way round; the result owns the descriptors, which programs started from here do not inherit.
/// Throws std::invalid_argument.
ServerDescriptors parse_server_argument(std::string_view argument);

/// The first argument of a program that is asked whether it could take over an image; the server's options follow it.
inline constexpr std::string_view kProbeArgument = "--probe=";

/// The first argument of a program that audits an image which nobody serves; the server's options follow it.
inline constexpr std::string_view kCheckArgument = "--check=";

/// "--probe=3,4,5" or "--check=...": as format_server_argument().
std::string format_image_argument(std::string_view kind, const ImageFiles& image);

/// As parse_server_argument().
ImageFiles parse_image_argument(std::string_view kind, std::string_view argument);

}  // namespace ztmpfs
