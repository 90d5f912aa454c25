#pragma once

#include <chrono>
#include <iosfwd>
#include <string>

namespace ztmpfs {

/// "[#####...............]" of `width` columns with its brackets; a share beyond 1 is full.
std::string bar(double share, size_t width);

/// One line on a terminal that tells how far long work is. Appears only when the work has taken half a second.
class ProgressBar {
 public:
  /// Shows nothing unless `is_seen`.
  ProgressBar(std::ostream& out, bool is_seen)
      : out_(out), is_seen_(is_seen), begin_(std::chrono::steady_clock::now()) {}
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// A bar with the text behind it; with a share below zero the text alone.
  void show(double share, const std::string& text);
  /// The line is as it was before.
  void clear();

 private:
  std::ostream& out_;
  const bool is_seen_;
  const std::chrono::steady_clock::time_point begin_;
  bool is_shown_ = false;
};

}  // namespace ztmpfs
