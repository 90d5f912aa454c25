#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "base/unique_fd.h"
#include "daemon/psi_open.h"
#include "daemon/psi_source.h"
#include "reclaim/pressure_level.h"

namespace ztmpfs {

/// How often a watch does what the kernel does not do for it; tests are less patient.
struct PsiIntervals {
  std::chrono::milliseconds poll{2'000};  ///< of averages, which the kernel changes no more often; of FIFOs' paths
  std::chrono::milliseconds retry_first{1'000};  ///< after a loss; doubles with each failure
  std::chrono::milliseconds retry_last{60'000};
};

enum class PsiWatchState : uint8_t {
  kTrigger,      ///< the kernel, or the peer, wakes us
  kPolling,      ///< triggers are refused: the average is read every 2 s
  kLost,         ///< it is gone, or not there yet; tried again after a while
  kUnavailable,  ///< this kernel does not have it
};

/// "trigger", "polling", "lost", "unavailable".
std::string_view to_string(PsiWatchState state);

/// The figures of one watch.
struct PsiWatchStats {
  std::string path;
  PressureLevel level = PressureLevel::kSome;
  PsiWatchState state = PsiWatchState::kUnavailable;
  std::string trigger;  ///< in use, "some 200000 2000000"; empty for a FIFO or socket
  std::string reason;   ///< why the state is not kTrigger; empty if it is
  uint64_t events = 0;
  uint64_t false_events = 0;  ///< that the kernel has told of without pressure, and nobody else has heard of
  std::optional<std::chrono::milliseconds> since_event;  ///< nothing before the first one
};

/// One level of one source, waited for. Belongs to one io_context and its thread; its handlers keep it alive, so it is
/// made by std::make_shared and ended by close(). Uses no timer while the kernel wakes it, but for a FIFO.
class PsiWatch : public std::enable_shared_from_this<PsiWatch> {
 public:
  /// What a watch tells, on the io thread; nothing after close().
  struct Listener {
    std::function<void(PressureLevel level, const std::string& path)> on_event;
    std::function<void(const std::string& path, const std::string& reason)> on_lost;
    std::function<void(const std::string& path)> on_back;
  };

  /// `trigger` is the one of the source to use; of a FIFO or socket only its level matters.
  PsiWatch(boost::asio::io_context& io, PsiSource source, const PsiTrigger& trigger, PsiOpen open,
           PsiIntervals intervals, Listener listener);

  /// Takes up watching; what has come of it is in state() at once.
  void start();
  void close();

  const std::string& path() const { return source_.path; }
  PsiWatchState state() const { return state_; }
  /// Why the state is not kTrigger.
  const std::string& reason() const { return reason_; }
  PsiWatchStats stats() const;

 private:
  bool is_file() const { return source_.kind == PsiSourceKind::kFile; }
  /// Waits for the kernel or the peer, or else polls; false if neither works, with the reason set.
  bool open();
  std::error_code open_waiting();
  bool open_polling();
  /// Without CAP_SYS_RESOURCE a new trigger fires at the first stall, however short, once tasks were stalled for its
  /// time since the machine has started: kernels up to 6.18 at least begin its first window at zero. So until one event
  /// was true, the stall since the trigger was made is looked at.
  bool is_false_event();
  void wait();
  void on_ready();
  void poll_later();
  void poll();
  /// A FIFO that was removed stays open and silent: whoever writes into a new one of that name is not heard.
  void check_later();
  void check();
  /// Reads and drops what has arrived. False at the end of the stream.
  bool drain(bool& is_event);
  void note_event();
  void lose(const std::string& reason);
  void retry_later();
  void retry();

  static constexpr unsigned kReadsMax = 16;  // of a peer that never stops, before others get their turn

  const PsiSource source_;
  const PsiTrigger wanted_;
  const PsiOpen open_source_;
  const PsiIntervals intervals_;
  Listener listener_;
  boost::asio::posix::stream_descriptor descriptor_;
  boost::asio::steady_timer timer_;  // of polling, of the next check or try, whichever state it is
  UniqueFd polled_;
  PsiTrigger in_use_;
  PsiWatchState state_ = PsiWatchState::kUnavailable;
  std::chrono::milliseconds retry_delay_;
  std::chrono::steady_clock::time_point opened_;
  std::optional<std::chrono::microseconds> first_total_;  // until an event since the opening was true
  std::string reason_;
  std::string echo_;  // our greeting, which comes back to us out of a FIFO
  uint64_t events_ = 0;
  uint64_t false_events_ = 0;
  std::optional<std::chrono::steady_clock::time_point> last_event_;
  bool is_closed_ = false;
};

}  // namespace ztmpfs
