#include "daemon/live_options.h"

#include <utility>

#include "base/log.h"
#include "base/mountpoint_path.h"
#include "daemon/command_line.h"
#include "daemon/control_server.h"

namespace ztmpfs {

LiveOptions::LiveOptions(const Options& options, Volume& volume, std::function<void(const std::string&)> on_psi)
    : options_(options), volume_(volume), on_psi_(std::move(on_psi)) {}

LiveValues LiveOptions::change(const std::vector<Setting>& settings) {
  apply(change_options(options_, settings, volume_.image().geometry().capacity, Surroundings::current()));
  return {.size = options_.size, .hot = volume_.store().hot_limit(), .psi = options_.psi};
}

std::vector<std::string> LiveOptions::reload(const Surroundings& surroundings) {
  if (options_.config_dir.empty()) throw UsageError("there is no configuration that " + options_.name + " comes from");
  Options wanted = read_options_again(options_, surroundings);
  if (!wanted.block_chosen) wanted.block_size = options_.block_size;
  const Bytes size_max = volume_.image().geometry().capacity;
  if (wanted.size > size_max)
    throw UsageError("option 'size=" + std::to_string(wanted.size) + "' is more than " + format_bytes(size_max) +
                     ", the most this mount can hold");
  std::vector<std::string> warnings = unlike_mounted(wanted);
  Options next = options_;
  next.size = wanted.size;
  next.hot = wanted.hot;
  next.psi = wanted.psi;
  if (format_live_options(next) != format_live_options(options_)) apply(std::move(next));
  return warnings;
}

// What a reload does not change.
std::vector<std::string> LiveOptions::unlike_mounted(const Options& wanted) const {
  std::vector<std::string> warnings;
  if (mountpoint_path(wanted.mountpoint) != mountpoint_path(options_.mountpoint))
    warnings.push_back("mountpoint=" + wanted.mountpoint + " is for the next mount");
  for (const std::string& text : fixed_settings_only_of(wanted, options_))
    warnings.push_back(text + " is for the next mount");
  for (const std::string& text : fixed_settings_only_of(options_, wanted))
    warnings.push_back(text + " stays as it is until the next mount");
  return warnings;
}

void LiveOptions::apply(Options next) {
  if (next.psi != options_.psi) check_psi_path(next);
  const std::string text = format_live_options(next);
  if (text.size() > DurableText::kLengthMax) throw UsageError("option 'psi=" + next.psi + "' is too long");
  if (!volume_.try_set_limits(next.size, next.hot)) {
    const Bytes bytes = volume_.budget().promised();
    const std::string promised = bytes == 0 ? "" : " and " + format_bytes(bytes) + " promised to fallocate(2)";
    throw Refusal("size cannot become " + format_bytes(next.size) + ": " + format_bytes(volume_.budget().used()) +
                  " are in use" + promised + ", and part of the size is reserved for deleting");
  }
  // Only now: a server that dies before has not answered.
  volume_.image().header().changed_options.store(text);
  if (next.psi != options_.psi) on_psi_(next.psi);
  options_ = std::move(next);
  log(LogLevel::kInfo, "set " + text);
}

}  // namespace ztmpfs
