#include "reclaim/reclaimer.h"

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace ztmpfs {

namespace {

using std::chrono::milliseconds;

// So much is asked of a shrinker at once: the limit of time is looked at in between.
constexpr Bytes kSlice = 4 * kMiB;
// A run lets those go first who wait for it, again and again: a writer waits for a portion, not for its end.
constexpr milliseconds kPortion{100};
constexpr milliseconds kPortionPause{3};
constexpr milliseconds kTurnPause{1};
constexpr milliseconds kBackOffMin{1'000};
constexpr milliseconds kBackOffMax{60'000};

// Shrinkers may count more than there is.
Bytes saturating_sum(Bytes a, Bytes b) {
  return a > ReclaimRequest::kEverything - b ? ReclaimRequest::kEverything : a + b;
}

// Names the thread that is in a run for as long as that lasts.
class RunnerMark {
 public:
  explicit RunnerMark(std::atomic<std::thread::id>& runner) : runner_(runner) { runner_ = std::this_thread::get_id(); }
  ~RunnerMark() { runner_ = std::thread::id(); }
  RunnerMark(const RunnerMark&) = delete;
  RunnerMark& operator=(const RunnerMark&) = delete;

 private:
  std::atomic<std::thread::id>& runner_;
};

}  // namespace

// One run's limits, and what it has come to.
class Reclaimer::Spending {
 public:
  Spending(const ReclaimRequest& request, const Clock& clock, ReclaimReport& report)
      : request_(request), clock_(clock), report_(report), start_(clock.monotonic()) {}
  ~Spending() { report_.time = elapsed(); }
  Spending(const Spending&) = delete;
  Spending& operator=(const Spending&) = delete;

  void begin_portion() { portion_end_ = elapsed() + kPortion; }
  bool is_over() const { return report_.freed >= request_.target || elapsed() >= request_.time_max; }

  // False when the portion is over, and the shrinker is not done with.
  bool use(uint64_t id, const Shrinker& shrinker) {
    if (shrinker.level > request_.level || (!request_.only.empty() && request_.only != shrinker.name)) return true;
    if (std::ranges::find(left_, id) != left_.end()) return true;
    while (!is_over()) {
      if (elapsed() >= portion_end_) return false;
      if (!scan(shrinker)) break;
    }
    left_.push_back(id);
    return true;
  }

 private:
  milliseconds elapsed() const { return clock_.monotonic() - start_; }

  // One slice. Returns whether the shrinker is worth another one.
  bool scan(const Shrinker& shrinker) {
    ShrinkResult result;
    try {
      if (shrinker.count() == 0) return false;
      result = shrinker.scan(std::min(request_.target - report_.freed, kSlice));
    } catch (const std::exception& error) {
      warn(shrinker, error.what());
      result = {.stuck = true};
    } catch (...) {
      warn(shrinker, "an unknown exception");
      result = {.stuck = true};
    }
    add(shrinker, result);
    return !result.stuck && (result.freed > 0 || result.moved > 0);
  }

  // A shrinker that was left is not used again in the same run, and a cheaper one that came meanwhile is a rarity that
  // costs a second part: so the last part is looked at only.
  void add(const Shrinker& shrinker, const ShrinkResult& result) {
    if (report_.parts.empty() || report_.parts.back().shrinker != shrinker.name)
      report_.parts.push_back({shrinker.name, {}});
    ShrinkResult& sum = report_.parts.back().result;
    sum.freed = saturating_sum(sum.freed, result.freed);
    sum.moved = saturating_sum(sum.moved, result.moved);
    sum.stuck = result.stuck;
    report_.freed = saturating_sum(report_.freed, result.freed);
    report_.moved = saturating_sum(report_.moved, result.moved);
  }

  void warn(const Shrinker& shrinker, std::string_view what) const {
    const std::string text = "reclaim: shrinker " + shrinker.name + " failed: " + std::string(what);
    if (request_.cause == ReclaimCause::kNoSpace) return log_limited(LogLevel::kWarning, "shrinker failed", text);
    log(LogLevel::kWarning, text);
  }

  const ReclaimRequest& request_;
  const Clock& clock_;
  ReclaimReport& report_;
  const milliseconds start_;
  milliseconds portion_end_{0};
  std::vector<uint64_t> left_;  // shrinkers that are done with
};

namespace {

// Pressure came, and nothing was counted: what there was nothing to free in is listed nowhere.
bool is_idle(const ReclaimReport& report) { return report.cause == ReclaimCause::kPressure && report.parts.empty(); }

void log_run(const ReclaimReport& report) {
  if (report.backed_off || is_idle(report)) return;
  if (report.cause != ReclaimCause::kNoSpace) return log(LogLevel::kInfo, describe(report));
  // There can be one for each request of a writer at the cap.
  if (report.freed > 0) log_limited(LogLevel::kInfo, "reclaim for a writer", describe(report));
}

std::string describe(const ReclaimReport::Part& part) {
  std::string text = part.shrinker + " " + format_bytes(part.result.freed);
  const std::string moved = part.result.moved == 0 ? "" : "moved " + format_bytes(part.result.moved);
  const std::string_view stuck = !part.result.stuck ? "" : moved.empty() ? "stuck" : ", stuck";
  if (!moved.empty() || part.result.stuck) text.append(" (").append(moved).append(stuck).append(")");
  return text;
}

}  // namespace

std::string_view to_string(ReclaimCause cause) {
  switch (cause) {
    case ReclaimCause::kPressure: return "pressure";
    case ReclaimCause::kNoSpace: return "no_space";
    case ReclaimCause::kManual: return "manual";
  }
  return "unknown";
}

std::string describe(const ReclaimReport& report) {
  std::string text = "reclaim (";
  text.append(to_string(report.cause)).append(" ").append(to_string(report.level)).append("): ");
  if (report.backed_off) return text + "backed off";
  if (report.stuck) text += "stuck, ";
  text.append("freed ").append(format_bytes(report.freed)).append(" of ");
  text.append(report.target == ReclaimRequest::kEverything ? "everything it could" : format_bytes(report.target));
  text.append(" in ").append(std::to_string(report.time.count())).append(" ms");
  std::string_view separator = ": ";
  for (const ReclaimReport::Part& part : report.parts) {
    text.append(separator).append(describe(part));
    separator = ", ";
  }
  return text;
}

Reclaimer::Registration::Registration(Registration&& other) noexcept
    : reclaimer_(std::exchange(other.reclaimer_, nullptr)), id_(other.id_) {}

Reclaimer::Registration& Reclaimer::Registration::operator=(Registration&& other) noexcept {
  // What this one kept until now goes with `old`.
  const Registration old(std::move(*this));
  reclaimer_ = std::exchange(other.reclaimer_, nullptr);
  id_ = other.id_;
  return *this;
}

Reclaimer::Registration::~Registration() {
  if (reclaimer_ != nullptr) reclaimer_->remove(id_);
}

Reclaimer::Reclaimer(const Clock& clock) : clock_(clock) {}

Reclaimer::~Reclaimer() { ZTMPFS_CHECK(entries_.empty(), "a shrinker's registration outlives the reclaimer"); }

Reclaimer::Registration Reclaimer::add(Shrinker shrinker) noexcept {
  try {
    MutexLock lock(run_mutex_);
    const bool is_taken =
        std::ranges::any_of(entries_, [&](const Entry& entry) { return entry.shrinker.name == shrinker.name; });
    if (!is_taken) {
      const auto at =
          std::ranges::upper_bound(entries_, shrinker.cost, {}, [](const Entry& entry) { return entry.shrinker.cost; });
      entries_.insert(at, Entry{next_id_, std::move(shrinker)});
      return Registration(*this, next_id_++);
    }
    lock.unlock();
    log(LogLevel::kWarning, "reclaim: there is a shrinker " + shrinker.name + " already: the second one is not used");
  } catch (const std::bad_alloc&) {
    log(LogLevel::kWarning, "reclaim: no memory to register a shrinker: it is not used");
  }
  return {};
}

void Reclaimer::remove(uint64_t id) noexcept {
  MutexLock lock(run_mutex_);
  std::erase_if(entries_, [id](const Entry& entry) { return entry.id == id; });
}

ReclaimReport Reclaimer::run(const ReclaimRequest& request) noexcept {
  ReclaimReport report{.cause = request.cause, .level = request.level, .target = request.target};
  if (runner_ == std::this_thread::get_id()) {
    report.stuck = true;
    return report;
  }
  try {
    run_alone(request, report);
    log_run(report);
  } catch (const std::exception&) {
    // Memory, or the log: the account is lost, not what was freed.
    report.parts.clear();
  }
  return report;
}

void Reclaimer::run_alone(const ReclaimRequest& request, ReclaimReport& report) {
  if (!await_turn(request)) {
    report.backed_off = true;
    return record(report);
  }
  MutexLock lock(run_mutex_, std::adopt_lock);
  report.backed_off = request.cause == ReclaimCause::kPressure && backs_off(request.level);
  if (!report.backed_off) {
    Spending spending(request, clock_, report);
    while (!spend(spending)) {
      lock.unlock();
      std::this_thread::sleep_for(kPortionPause);
      lock.lock();
    }
  }
  report.stuck = report.freed == 0 && report.moved == 0 && !report.parts.empty();
  record(report);
}

// A writer had rather try its luck with what another run frees than wait for the end of it.
bool Reclaimer::await_turn(const ReclaimRequest& request) {
  if (request.cause != ReclaimCause::kNoSpace) {
    run_mutex_.lock();
    return true;
  }
  const auto end = std::chrono::steady_clock::now() + request.time_max;
  while (!run_mutex_.try_lock()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(kTurnPause);
  }
  return true;
}

// One portion; true when there is nothing more to do.
bool Reclaimer::spend(Spending& spending) {
  const RunnerMark mark(runner_);
  spending.begin_portion();
  return std::ranges::all_of(entries_, [&](const Entry& entry) { return spending.use(entry.id, entry.shrinker); });
}

void Reclaimer::record(const ReclaimReport& report) {
  MutexLock lock(stats_mutex_);
  if (report.backed_off) {
    ++stats_.backed_off;
    return;
  }
  if (is_idle(report)) return;
  ++stats_.runs;
  if (report.stuck) ++stats_.stuck_runs;
  update_back_off(report);
  for (const ReclaimReport::Part& part : report.parts) {
    Bytes& sum = stats_.freed[part.shrinker];
    sum = saturating_sum(sum, part.result.freed);
  }
  stats_.last = report;
}

void Reclaimer::update_back_off(const ReclaimReport& report) {
  if (report.freed > 0) back_offs_ = {};
  if (!report.stuck || report.cause != ReclaimCause::kPressure) return;
  BackOff& back_off = back_offs_[size_t(report.level)];
  back_off.time = std::clamp(back_off.time * 2, kBackOffMin, kBackOffMax);
  back_off.until = clock_.monotonic() + back_off.time;
}

bool Reclaimer::backs_off(PressureLevel level) const {
  const milliseconds now = clock_.monotonic();
  MutexLock lock(stats_mutex_);
  // A run that was stuck had all that a run of a lower level has, and more.
  return std::any_of(back_offs_.begin() + ptrdiff_t(level), back_offs_.end(),
                     [now](const BackOff& back_off) { return now < back_off.until; });
}

ReclaimStats Reclaimer::stats() const {
  MutexLock lock(stats_mutex_);
  return stats_;
}

}  // namespace ztmpfs
