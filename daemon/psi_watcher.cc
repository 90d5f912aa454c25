#include "daemon/psi_watcher.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/log.h"

namespace ztmpfs {

namespace {

constexpr const char* kWithoutPressure =
    "; reclaim runs when available memory or the mount's own room gets short, and on request only";

bool works(const std::shared_ptr<PsiWatch>& watch) {
  return watch->state() == PsiWatchState::kTrigger || watch->state() == PsiWatchState::kPolling;
}

}  // namespace

PsiWatcher::PsiWatcher(boost::asio::io_context& io, const PsiSources& found, OnPressure on_pressure,
                       const PsiOpen& open, PsiIntervals intervals)
    : on_pressure_(std::move(on_pressure)) {
  for (const std::string& warning : found.warnings) log(LogLevel::kWarning, warning);
  for (const PsiSource& source : found.sources) add(io, source, open, intervals);
  for (const auto& watch : watches_) watch->start();
  for (const auto& watch : watches_) is_lost_[watch->path()] = is_any_lost(watch->path());
  report_start();
}

PsiWatcher::~PsiWatcher() {
  for (const auto& watch : watches_) watch->close();
}

std::vector<PsiWatchStats> PsiWatcher::stats() const {
  std::vector<PsiWatchStats> all;
  for (const auto& watch : watches_) all.push_back(watch->stats());
  return all;
}

PsiWatch::Listener PsiWatcher::listener() {
  return {.on_event = [this](PressureLevel level, const std::string& path) { on_pressure_(level, path); },
          .on_lost = [this](const std::string& path, const std::string& reason) { on_lost(path, reason); },
          .on_back = [this](const std::string& path) { on_back(path); }};
}

void PsiWatcher::add(boost::asio::io_context& io, const PsiSource& source, const PsiOpen& open,
                     PsiIntervals intervals) {
  std::vector<PsiTrigger> triggers = source.triggers;
  if (source.kind != PsiSourceKind::kFile) triggers = {default_psi_trigger(PressureLevel::kSome)};
  for (const PsiTrigger& trigger : triggers)
    watches_.push_back(std::make_shared<PsiWatch>(io, source, trigger, open, intervals, listener()));
}

void PsiWatcher::report_start() const {
  const bool is_any_working = std::ranges::any_of(watches_, works);
  std::set<std::string> reported;
  for (const auto& watch : watches_) {
    if (watch->state() == PsiWatchState::kTrigger || !reported.insert(watch->path()).second) continue;
    const std::string cause = watch->path() + ": " + watch->reason();
    if (watch->state() == PsiWatchState::kPolling) {
      log(LogLevel::kInfo, "no pressure triggers (" + cause + "): reading the average from time to time");
    } else {
      const bool says_what_follows = !is_any_working && reported.size() == 1;
      log(LogLevel::kWarning, "no pressure information (" + cause + ")" + (says_what_follows ? kWithoutPressure : ""));
    }
  }
}

void PsiWatcher::on_lost(const std::string& path, const std::string& reason) {
  if (std::exchange(is_lost_[path], true)) return;
  log(LogLevel::kWarning, "lost the pressure information of " + path + " (" + reason + "): trying again");
}

void PsiWatcher::on_back(const std::string& path) {
  if (is_any_lost(path) || !std::exchange(is_lost_[path], false)) return;
  log(LogLevel::kInfo, "the pressure information of " + path + " is back");
}

bool PsiWatcher::is_any_lost(const std::string& path) const {
  return std::ranges::any_of(
      watches_, [&](const auto& watch) { return watch->path() == path && watch->state() == PsiWatchState::kLost; });
}

}  // namespace ztmpfs
