#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace ztmpfs {

/// How long a reload may take, and which of the server's news it ends with: a server answers orders in their order, so
/// that of a reload which was given up does not end the next one. Times are of one monotonic clock. One thread.
class ReloadWait {
 public:
  using Milliseconds = std::chrono::milliseconds;

  /// A smaller size may have to be reclaimed first, in a run of up to ReclaimRequest::kByHandTimeMax and more of them;
  /// and ztmpfsctl, which waits ten minutes, is to hear of the end.
  static constexpr std::chrono::minutes kMax{9};

  /// A reload begins.
  void begin(Milliseconds now) { by_ = now + kMax; }
  /// When it is to be given up, if one is under way.
  std::optional<Milliseconds> by() const { return by_; }
  /// The server has been ordered to reload.
  void order() { ++unanswered_; }
  /// The server has answered an order. Whether that is the outcome of the reload under way.
  bool take_answer() {
    if (unanswered_ > 0) --unanswered_;
    return by_ && unanswered_ == 0;
  }
  /// The reload has ended.
  void end() { by_.reset(); }
  /// Another server: the one before answers no more.
  void forget_orders() { unanswered_ = 0; }

 private:
  std::optional<Milliseconds> by_;
  uint64_t unanswered_ = 0;
};

}  // namespace ztmpfs
