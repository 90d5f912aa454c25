#include "ctl/screen.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>

namespace ztmpfs {

namespace {

// DEC private modes 1049 (alternate screen) and 25 (cursor), as xterm and the Linux console know them; 7: no wrapping.
constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
constexpr std::string_view kLeave = "\x1b[?7h\x1b[?25h\x1b[?1049l";
constexpr std::string_view kHome = "\x1b[H";
constexpr std::string_view kClearLine = "\x1b[K";
constexpr std::string_view kClearBelow = "\x1b[J";

// A terminal that has gone takes nothing any more; its hang-up ends the program.
void write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(STDOUT_FILENO, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    text.remove_prefix(size_t(count));
  }
}

}  // namespace

Screen::Screen(bool has_colours) : has_colours_(has_colours) { enter(); }

Screen::~Screen() { leave(); }

void Screen::enter() {
  if (is_entered_) return;
  if (::tcgetattr(STDIN_FILENO, &before_) == 0) {
    termios raw = before_;
    raw.c_lflag &= ~tcflag_t(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  }
  write_all(kEnter);
  is_entered_ = true;
}

void Screen::leave() {
  if (!is_entered_) return;
  write_all(kLeave);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  is_entered_ = false;
}

ViewSize Screen::size() const {
  constexpr ViewSize kUnknown{80, 24};
  winsize window{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col == 0 || window.ws_row == 0) return kUnknown;
  return {window.ws_col, window.ws_row};
}

void Screen::draw(const std::vector<StyledLine>& lines) const {
  const ViewSize room = size();
  std::string text(kHome);
  for (size_t i = 0; i < std::min(lines.size(), room.rows); ++i) {
    if (i > 0) text += "\r\n";
    text += lines[i].text(room.columns, has_colours_);
    text += kClearLine;
  }
  text += kClearBelow;
  write_all(text);
}

int Screen::key_fd() const { return STDIN_FILENO; }

char Screen::take_key() const {
  char key = '\0';
  const ssize_t count = ::read(STDIN_FILENO, &key, 1);
  if (count < 0 && errno != EAGAIN && errno != EINTR) return 'q';
  return count == 1 ? key : '\0';
}

}  // namespace ztmpfs
