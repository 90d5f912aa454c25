#include "daemon/hang_watch.h"

#include <algorithm>

namespace ztmpfs {

bool HangWatch::is_hung(std::chrono::milliseconds now) {
  if (limit_.count() == 0) return false;
  // We were stopped, or starved, and the server perhaps too.
  if (now - looked_at_ > 2 * interval()) since_ = now;
  looked_at_ = now;
  return standstill(now) > limit_;
}

std::chrono::milliseconds HangWatch::standstill(std::chrono::milliseconds now) const {
  auto oldest = uint64_t(now.count());
  oldest = std::min(oldest, record_.alive_at.load(std::memory_order_relaxed));
  for (const SupervisionRecord::Slot& slot : record_.slots)
    if (const uint64_t at = slot.request_started_at.load(std::memory_order_relaxed); at != 0)
      oldest = std::min(oldest, at);
  return now - std::max(std::chrono::milliseconds(oldest), since_);
}

}  // namespace ztmpfs
