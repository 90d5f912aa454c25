#pragma once

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "daemon/psi_watcher.h"
#include "tests/daemon/temporary_directory.h"

namespace ztmpfs {

/// A watcher in a loop that the test turns, with what it has told.
class PsiWatcherRig : public testing::Test {
 protected:
  using Event = std::pair<PressureLevel, std::string>;

  PsiWatcherRig() { log_open(false, "test"); }
  void watch(const PsiSources& sources, const PsiOpen& open = open_psi_source) {
    const auto on_pressure = [this](PressureLevel level, const std::string& path) {
      events_.emplace_back(level, path);
      if (on_event_) on_event_(level);
    };
    const PsiIntervals impatient{.poll = std::chrono::milliseconds(1),
                                 .retry_first = std::chrono::milliseconds(1),
                                 .retry_last = std::chrono::milliseconds(8)};
    watcher_ = std::make_unique<PsiWatcher>(io_, sources, on_pressure, open, impatient);
  }
  void run_until(const std::function<bool()>& is_reached) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!is_reached()) {
      ASSERT_LT(std::chrono::steady_clock::now(), limit) << "waited in vain";
      io_.restart();
      io_.run_one_for(std::chrono::milliseconds(100));
    }
  }
  bool are_all(PsiWatchState state) const {
    for (const PsiWatchStats& stats : watcher_->stats())
      if (stats.state != state) return false;
    return true;
  }
  std::string path(const std::string& name) const { return directory_.path() + "/" + name; }
  static PsiSource file_source(const std::string& path) {
    PsiSource source;
    source.path = path;
    source.triggers = {default_psi_trigger(PressureLevel::kSome), default_psi_trigger(PressureLevel::kFull)};
    return source;
  }
  PsiSource stream_source(const std::string& name, PsiSourceKind kind, const std::string& greeting = "") const {
    PsiSource source;
    source.path = path(name);
    source.kind = kind;
    source.greeting = greeting;
    return source;
  }

  TemporaryDirectory directory_;
  boost::asio::io_context io_{1};
  std::vector<Event> events_;
  std::function<void(PressureLevel)> on_event_;
  std::unique_ptr<PsiWatcher> watcher_;
};

}  // namespace ztmpfs
