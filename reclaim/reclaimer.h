#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "reclaim/pressure_level.h"
#include "reclaim/shrinker.h"

namespace ztmpfs {

/// Who asks for memory.
enum class ReclaimCause : uint8_t {
  kPressure,  ///< the system is short of it: backs off while nothing can be freed
  kNoSpace,   ///< a writer met the cap and waits
  kManual,    ///< a person asked
};

/// "pressure", "no_space" or "manual".
std::string_view to_string(ReclaimCause cause);

struct ReclaimRequest {
  static constexpr Bytes kEverything = std::numeric_limits<Bytes>::max();
  /// A person who asks waits for all of it.
  static constexpr std::chrono::minutes kByHandTimeMax{5};

  ReclaimCause cause = ReclaimCause::kManual;
  PressureLevel level = PressureLevel::kFull;  ///< shrinkers above it are left alone
  Bytes target = kEverything;                  ///< stop once so much is freed
  std::chrono::milliseconds time_max{10'000};  ///< start no further scan after that
  std::string_view only = {};                  ///< the name of the one shrinker to use; empty for all
};

/// What a run did. Freed memory is what went back to the OS.
struct ReclaimReport {
  struct Part {
    std::string shrinker;
    ShrinkResult result;
  };
  ReclaimCause cause = ReclaimCause::kManual;
  PressureLevel level = PressureLevel::kFull;
  Bytes target = 0;
  Bytes freed = 0;
  Bytes moved = 0;
  std::chrono::milliseconds time{0};
  bool stuck = false;            ///< nothing was freed or moved of what was counted
  bool backed_off = false;       ///< nothing was tried: too soon after stuck runs, or another run is under way
  std::vector<Part> parts = {};  ///< of the shrinkers that were used, in that order
};

/// One line for people: cause, level, target, freed per shrinker, bytes moved, time.
std::string describe(const ReclaimReport& report);

struct ReclaimStats {
  uint64_t runs = 0;        ///< without those that were backed off, or found nothing to do under pressure
  uint64_t stuck_runs = 0;  ///< runs that freed nothing of what was counted
  uint64_t backed_off = 0;
  std::map<std::string, Bytes> freed;  ///< since the start, by shrinker
  std::optional<ReclaimReport> last;   ///< the last of these runs
};

/// Spends a target on the registered shrinkers, cheapest first, within limits of time and level.
///
/// Thread-safe. One scan at a time: a run lets the next one in every tenth of a second, and a writer (kNoSpace) waits
/// for its turn no longer than its own time_max: then it is backed off. No lock is held that a shrinker could need, but
/// the registry's: a shrinker must not add or remove shrinkers.
///
/// Runs for kPressure back off as the kernel does after SHRINK_STOP: after a stuck one, those of the same level or a
/// lower one are refused for a second, then for two, up to a minute, until any run frees something. Having nothing to
/// free is no reason to back off: to count costs nothing, and there may be something soon.
///
/// Each run is logged as one line, but for those under pressure that found nothing to free and those of writers that
/// freed nothing; writers' at most once a second.
class Reclaimer {
 public:
  /// Keeps a shrinker registered for as long as it lives; the Reclaimer outlives it.
  class Registration {
   public:
    Registration() = default;
    Registration(Registration&& other) noexcept;
    Registration& operator=(Registration&& other) noexcept;
    /// Waits for a run that uses the shrinker.
    ~Registration();
    explicit operator bool() const { return reclaimer_ != nullptr; }

   private:
    friend class Reclaimer;
    Registration(Reclaimer& reclaimer, uint64_t id) : reclaimer_(&reclaimer), id_(id) {}
    Reclaimer* reclaimer_ = nullptr;
    uint64_t id_ = 0;
  };

  explicit Reclaimer(const Clock& clock);
  ~Reclaimer();

  /// Registers a shrinker. Not critical: on failure (a name that is taken, no memory) a warning is logged and an empty
  /// registration returned; everything else goes on without it.
  [[nodiscard]] Registration add(Shrinker shrinker) noexcept;

  /// Frees what was asked for, or what it can. A shrinker that throws is named in a warning and counts as stuck. A
  /// run from within a shrinker does nothing and is stuck: it would wait for itself.
  ReclaimReport run(const ReclaimRequest& request) noexcept;

  /// Whether a run for kPressure would be refused now. Does not wait for a run.
  bool backs_off(PressureLevel level = PressureLevel::kFull) const;
  /// Does not wait for a run.
  ReclaimStats stats() const;

 private:
  static constexpr size_t kLevels = 2;

  struct Entry {
    uint64_t id;
    Shrinker shrinker;
  };
  struct BackOff {
    std::chrono::milliseconds time{0};   // how long the last one was
    std::chrono::milliseconds until{0};  // of the monotonic clock
  };

  void remove(uint64_t id) noexcept;
  void run_alone(const ReclaimRequest& request, ReclaimReport& report) EXCLUDES(run_mutex_);
  bool await_turn(const ReclaimRequest& request) TRY_ACQUIRE(true, run_mutex_);
  class Spending;
  bool spend(Spending& spending) REQUIRES(run_mutex_);
  void record(const ReclaimReport& report) EXCLUDES(stats_mutex_);
  void update_back_off(const ReclaimReport& report) REQUIRES(stats_mutex_);

  const Clock& clock_;
  // Held for a portion of a run, before stats_mutex_.
  Mutex run_mutex_;
  std::vector<Entry> entries_ GUARDED_BY(run_mutex_);  // ascending by cost, then by registration
  uint64_t next_id_ GUARDED_BY(run_mutex_) = 1;
  std::atomic<std::thread::id> runner_;  // the thread that is in a run
  mutable Mutex stats_mutex_;
  ReclaimStats stats_ GUARDED_BY(stats_mutex_);
  std::array<BackOff, kLevels> back_offs_ GUARDED_BY(stats_mutex_);  // by the level of the runs that were stuck
};

}  // namespace ztmpfs
