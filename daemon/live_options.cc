#include "daemon/live_options.h"

#include <utility>

#include "base/log.h"
#include "daemon/control_server.h"

namespace ztmpfs {

LiveOptions::LiveOptions(const Options& options, Volume& volume, std::function<void(const std::string&)> on_psi)
    : options_(options), volume_(volume), on_psi_(std::move(on_psi)) {}

LiveValues LiveOptions::change(const std::vector<Setting>& settings) {
  Options next = change_options(options_, settings, volume_.image().geometry().capacity, Surroundings::current());
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
  return {.size = options_.size, .hot = volume_.store().hot_limit(), .psi = options_.psi};
}

}  // namespace ztmpfs
