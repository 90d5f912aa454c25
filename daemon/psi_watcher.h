#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/psi_open.h"
#include "daemon/psi_source.h"
#include "daemon/psi_watch.h"

namespace ztmpfs {

/// Watches all sources of memory pressure together and tells of each event. Used on the io thread only; keeps no
/// threads, and no timers while the kernel wakes it.
///
/// Of a pressure file each level is waited for with a trigger of its own; where the kernel wants longer windows from
/// the unprivileged, with the same share of 2 s. Where it refuses triggers the average of the last 10 s is read every
/// 2 s instead. What goes away is tried again, after 1 s, 2 s and so on up to a minute.
class PsiWatcher {
 public:
  /// Told of pressure on the io thread: at most once per window, source and level by the kernel.
  using OnPressure = std::function<void(PressureLevel level, const std::string& source)>;

  /// Starts watching and logs `found.warnings`, and what does not work. Never fails: without any source nothing is
  /// told. The listener may not destroy the watcher.
  PsiWatcher(boost::asio::io_context& io, const PsiSources& found, OnPressure on_pressure,
             const PsiOpen& open = open_psi_source, PsiIntervals intervals = {});
  ~PsiWatcher();
  PsiWatcher(const PsiWatcher&) = delete;
  PsiWatcher& operator=(const PsiWatcher&) = delete;

  /// One entry per source and level.
  std::vector<PsiWatchStats> stats() const;

 private:
  PsiWatch::Listener listener();
  void add(boost::asio::io_context& io, const PsiSource& source, const PsiOpen& open, PsiIntervals intervals);
  void report_start() const;
  /// One line for all levels of a source.
  void on_lost(const std::string& path, const std::string& reason);
  void on_back(const std::string& path);
  bool is_any_lost(const std::string& path) const;

  const OnPressure on_pressure_;
  std::vector<std::shared_ptr<PsiWatch>> watches_;
  std::map<std::string, bool> is_lost_;  // as logged, by path
};

}  // namespace ztmpfs
