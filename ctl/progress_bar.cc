#include "ctl/progress_bar.h"

#include <algorithm>
#include <cmath>
#include <ostream>

namespace ztmpfs {

namespace {

constexpr std::chrono::milliseconds kPatience{500};
constexpr size_t kBarWidth = 32;
constexpr const char* kToLineStart = "\r\x1b[K";

}  // namespace

std::string bar(double share, size_t width) {
  const size_t inside = width < 3 ? 1 : width - 2;
  const double part = std::isfinite(share) ? std::clamp(share, 0.0, 1.0) : 0;
  auto full = size_t(std::llround(part * double(inside)));
  if (full == 0 && part > 0) full = 1;  // a little is not nothing
  return "[" + std::string(full, '#') + std::string(inside - full, '.') + "]";
}

void ProgressBar::show(double share, const std::string& text) {
  if (!is_seen_ || std::chrono::steady_clock::now() - begin_ < kPatience) return;
  out_ << kToLineStart;
  if (share >= 0) out_ << bar(share, kBarWidth) << " " << int(share * 100) << " % ";
  out_ << text << std::flush;
  is_shown_ = true;
}

void ProgressBar::clear() {
  if (is_shown_) out_ << kToLineStart << std::flush;
  is_shown_ = false;
}

}  // namespace ztmpfs
