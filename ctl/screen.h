#pragma once

#include <termios.h>

#include <vector>

#include "ctl/live_view.h"
#include "ctl/styled_line.h"

namespace ztmpfs {

/// Standard input and output as a whole screen: the terminal's alternate one, without cursor, keys delivered as they
/// are pressed. Whatever ends this object, the terminal is as it was before.
class Screen {
 public:
  explicit Screen(bool has_colours);
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  /// Of the terminal as it is now.
  ViewSize size() const;
  /// Replaces what is shown; lines and columns that do not fit are left out.
  void draw(const std::vector<StyledLine>& lines) const;
  /// For poll(2): readable when a key was pressed.
  int key_fd() const;
  /// The next key that was pressed; '\0' if there is none, 'q' if there will never be one.
  char take_key() const;
  /// Gives the terminal back, for job control, and takes it again.
  void leave();
  void enter();

 private:
  const bool has_colours_;
  bool is_entered_ = false;
  termios before_{};
};

}  // namespace ztmpfs
