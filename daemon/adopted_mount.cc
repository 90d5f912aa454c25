#include "daemon/adopted_mount.h"

#include <string>

#include "base/log.h"
#include "base/memory_usage.h"

namespace ztmpfs {

namespace {

Options recorded_options(const Options& wanted, const MountDescription& description) {
  Surroundings surroundings = Surroundings::current();
  surroundings.config_dir.clear();
  Options options =
      resolve_options(wanted.name, description.mountpoint, split_settings(description.options), surroundings);
  options.foreground = wanted.foreground;
  options.hang = wanted.hang;
  options.config_dir = wanted.config_dir;
  options.given = wanted.given;
  options.mountpoint_origin = wanted.mountpoint_origin;
  return options;
}

void log_ignored(const Options& wanted, const Options& kept) {
  if (wanted.mountpoint != kept.mountpoint)
    log(LogLevel::kWarning, "the mount that goes on stays on " + kept.mountpoint);
  for (const std::string& text : fixed_settings_only_of(wanted, kept))
    log(LogLevel::kWarning, text + " is for a new mount, not for the one that goes on");
  for (const std::string& text : fixed_settings_only_of(kept, wanted))
    log(LogLevel::kWarning, "the mount that goes on keeps " + text);
}

}  // namespace

Options adopt_options(const Options& wanted, const ImageFiles& image) {
  Options options = recorded_options(wanted, image.mount_description());
  log_ignored(wanted, options);
  if (format_live_options(wanted) == format_live_options(options)) return options;
  const Bytes used = image.allocated();
  if (wanted.size < used || wanted.size > image.geometry().capacity) {
    log(LogLevel::kWarning, "size cannot become " + format_bytes(wanted.size) + " in the mount that goes on: it has " +
                                format_bytes(used) + " in use, and was made for " +
                                format_bytes(image.geometry().capacity) + " at most");
    return options;
  }
  options.size = wanted.size;
  options.hot = wanted.hot;
  options.psi = wanted.psi;
  image.forget_changed_options();
  return options;
}

}  // namespace ztmpfs
