#include "ctl/top_command.h"

#include <poll.h>
#include <signal.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <ostream>
#include <string>
#include <thread>

#include "ctl/live_view.h"
#include "ctl/screen.h"
#include "ctl/signal_watch.h"
#include "ctl/stats_feed.h"

namespace ztmpfs {

namespace {

using Clock = std::chrono::steady_clock;

constexpr double kIntervalMin = 0.1;
constexpr double kIntervalMax = 3600;

constexpr std::array kOptions{
    CommandOption{"--interval", "-i", "SECONDS", "time between two views, from 0.1 on (default 1)"},
    CommandOption{"--count", "-n", "NUMBER", "end after so many views"},
};

template <class Number>
std::optional<Number> parse_number(const std::string& text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

Clock::duration parse_interval(const CommandContext& context) {
  const auto option = context.options.find("--interval");
  if (option == context.options.end()) return std::chrono::seconds(1);
  const auto seconds = parse_number<double>(option->second);
  if (!seconds || !std::isfinite(*seconds) || *seconds < kIntervalMin || *seconds > kIntervalMax)
    throw CtlUsageError("top: --interval is '" + option->second +
                        "', but must be a number of seconds from 0.1 to 3600");
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(*seconds));
}

// 0: without end.
uint64_t parse_count(const CommandContext& context) {
  const auto option = context.options.find("--count");
  if (option == context.options.end()) return 0;
  const auto count = parse_number<uint64_t>(option->second);
  if (!count || *count == 0)
    throw CtlUsageError("top: --count is '" + option->second + "', but must be a whole number from 1 on");
  return *count;
}

// One after the other, for a file or a pipe.
int print_views(const CommandContext& context, StatsFeed& feed, Clock::duration interval, uint64_t count) {
  constexpr ViewSize kNoLimit{.columns = 80, .rows = SIZE_MAX};
  auto before = feed.take();
  for (uint64_t shown = 0; count == 0 || shown < count;) {
    std::this_thread::sleep_for(interval);
    const auto now = feed.take();
    if (now && before) {
      const LiveFigures figures = live_figures(*before, *now);
      if (context.as_json) {
        context.out << live_json(figures);
      } else {
        for (const StyledLine& line : live_view(figures, kNoLimit)) context.out << line.text(SIZE_MAX, false) << "\n";
        context.out << "\n";
      }
      context.out.flush();
      if (!context.out) return EXIT_FAILURE;  // nobody reads any more
      ++shown;
    }
    if (now) before = now;
  }
  return EXIT_SUCCESS;
}

// On the whole terminal.
class LiveScreen {
 public:
  LiveScreen(StatsFeed& feed, Clock::duration interval, bool has_colours)
      : feed_(feed), interval_(interval), screen_(has_colours) {}

  void run(uint64_t count) {
    fetch();
    uint64_t shown = 0;
    while (wait_for(Clock::now() + interval_)) {
      if (fetch() && count != 0 && ++shown == count) return;
    }
  }

 private:
  // True if there is something new to be seen.
  bool fetch() {
    auto now = feed_.take();
    is_silent_ = !now;
    if (now) {
      if (before_) figures_ = live_figures(*before_, *now);
      if (!before_) figures_ = LiveFigures{.stats = now->stats};
      before_ = std::move(now);
    }
    draw();
    return !is_silent_;
  }

  void draw() {
    std::vector<StyledLine> lines;
    const ViewSize size = screen_.size();
    if (is_silent_) lines.emplace_back("the server does not answer just now", Tone::kBad);
    if (figures_) {
      const auto view = live_view(*figures_, {size.columns, size.rows - std::min(size.rows, lines.size())});
      lines.insert(lines.end(), view.begin(), view.end());
    }
    screen_.draw(lines);
  }

  // False if the user wants it to end.
  bool wait_for(Clock::time_point end) {
    while (true) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
      if (left.count() <= 0) return true;
      std::array<pollfd, 2> polls{pollfd{signals_.fd(), POLLIN, 0}, pollfd{screen_.key_fd(), POLLIN, 0}};
      if (::poll(polls.data(), polls.size(), int(left.count())) <= 0) continue;
      while (const auto signal = signals_.take())
        if (!obey(*signal)) return false;
      if ((polls[1].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) return false;
      if (polls[1].revents == 0) continue;
      const char key = screen_.take_key();
      if (key == 'q' || key == 'Q') return false;
    }
  }

  // False if it was a signal to end.
  bool obey(int signal) {
    if (signal == SIGTSTP) {
      screen_.leave();
      ::raise(SIGSTOP);  // until somebody sends SIGCONT
      screen_.enter();
    } else if (signal != SIGWINCH) {
      return false;
    }
    draw();
    return true;
  }

  StatsFeed& feed_;
  const Clock::duration interval_;
  const SignalWatch signals_{SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP};
  Screen screen_;  // behind the signals: none of them may leave the terminal as it is here
  std::optional<StatsSample> before_;
  std::optional<LiveFigures> figures_;
  bool is_silent_ = false;
};

}  // namespace

std::span<const CommandOption> top_options() { return kOptions; }

int run_top(const CommandContext& context) {
  const Clock::duration interval = parse_interval(context);
  const uint64_t count = parse_count(context);
  const MountInfo& mount = choose_mount(context.mounts, context.target);
  if (!mount.is_mounted()) throw std::runtime_error(mount.name + " is not mounted: its contents are kept");
  StatsFeed feed(context.surroundings.runtime_dir, mount);
  if (context.as_json || !context.surroundings.has_screen) return print_views(context, feed, interval, count);
  LiveScreen(feed, interval, context.surroundings.has_colours).run(count);
  return EXIT_SUCCESS;
}

}  // namespace ztmpfs
