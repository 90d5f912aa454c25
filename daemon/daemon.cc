#include "daemon/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <utility>

#include "base/holder_client.h"
#include "base/log.h"
#include "base/runtime_dir.h"
#include "daemon/mount_users.h"
#include "daemon/name_lock.h"
#include "daemon/server_descriptors.h"
#include "daemon/status_text.h"
#include "fuse/connection_end.h"

namespace ztmpfs {

namespace {

namespace asio = boost::asio;
using Error = boost::system::error_code;

constexpr std::chrono::seconds kPatience{10};      // that the users of a detached mount get
constexpr std::chrono::seconds kAbortPatience{2};  // that the readers get to notice the end

constexpr std::chrono::seconds kStatusInterval{10};

constexpr std::chrono::milliseconds kOutcomeRetry{200};

constexpr int kSignsOfLife = 4;  // within the time after which the holder takes us for hung

void tell_holder(const UniqueFd& ready, char word) {
  [[maybe_unused]] const ssize_t written = ::write(ready.get(), &word, 1);
}

FuseServer::Options fuse_options(const Options& mount, const Volume& volume, std::function<void()> on_ready) {
  FuseServer::Options options;
  options.readers = volume.image().geometry().request_slots;
  options.on_ready = std::move(on_ready);
  options.features = {.xattr = mount.xattr, .acl = mount.acl};
  return options;
}

}  // namespace

Daemon::Daemon(const Options& options, ServerDescriptors descriptors)
    : options_(options),
      mountpoint_{options.mountpoint, descriptors.device, descriptors.fuse.get()},
      holder_pid_(::getppid()),
      descriptors_(std::move(descriptors)),
      volume_(std::move(descriptors_.image), volume_options(options), clock_, holder_pid_),
      housekeeping_(volume_),
      memory_watch_(volume_.budget()),
      reclaim_thread_(volume_.reclaimer()),
      signals_(io_),
      tick_(io_),
      patience_(io_),
      status_tick_(io_),
      outcome_tick_(io_),
      orders_(io_),
      live_options_(options_, volume_,
                    [this](const std::string& psi) { asio::post(io_, [this, psi] { watch_pressure(psi); }); }) {
  fuse_.emplace(descriptors_.fuse.get(), volume_,
                fuse_options(options_, volume_, [this] { asio::post(io_, [this] { on_usable(); }); }));
  volume_.set_on_settled([this](uint64_t ino) { fuse_->attributes_changed(ino); });
}

Daemon::~Daemon() = default;

int Daemon::run() {
  tell_holder(descriptors_.ready, kAttached);
  orders_.assign(descriptors_.orders.release());
  for (const int signal : {SIGTERM, SIGINT}) signals_.add(signal);
  reclaim_thread_.start();
  recover_memory();
  connection_ = std::jthread([this] { serve_connection(); });
  control_ = std::make_unique<ControlServer>(io_, std::move(descriptors_.control), control_routes(control_source()));
  volume_.start();
  watch_pressure(options_.psi);
  wait_for_signal();
  wait_for_orders();
  keep_house();
  io_.run();
  control_->close();
  if (!is_connection_ended_) {
    // The readers still wait in the kernel, and nothing but the end of the processes lets them go.
    remove_traces();
    std::_Exit(kExitCutOff);
  }
  connection_.join();
  control_.reset();
  volume_.stop();
  remove_traces();
  if (!failure_.empty()) throw std::runtime_error(failure_);
  if (is_parked_) return kExitParked;
  if (options_.keep) leave_contents();
  return is_cut_off_ ? kExitCutOff : EXIT_SUCCESS;
}

// What the holder would do. Not what somebody else goes on with: the next server, or the holder that the contents were
// to be taken over from.
void Daemon::remove_traces() const {
  if (!is_holder_dead_ || is_parked_) return;
  ::unlink(control_socket_path(runtime_dir(), options_.name).c_str());
  if (!owns_name_) return;
  ::unlink(holder_socket_path(runtime_dir(), options_.name).c_str());
  NameLock::remove_file(NameLock::path(runtime_dir(), options_.name));
}

// Memory that only the connection needed is not kept for the next one.
void Daemon::leave_contents() {
  volume_.image().supervision().is_connection_over = 1;
  volume_.set_on_settled([](uint64_t) {});  // there is no kernel to tell
  fuse_.reset();
  drop_connection(volume_);
  volume_.shrink_to_contents();
}

ControlSource Daemon::control_source() {
  return {.info = {.name = options_.name,
                   .mountpoint = options_.mountpoint,
                   .server_pid = ::getpid(),
                   .holder_pid = holder_pid_},
          .stats =
              [this] {
                const SupervisionRecord& supervision = volume_.image().supervision();
                const auto uptime = clock_.monotonic() - std::chrono::milliseconds(supervision.mounted_at.load());
                return ServerStats{.volume = volume_.stats(),
                                   .requests = fuse_->request_counts(),
                                   .latencies = fuse_->latencies(),
                                   .forgets = fuse_->forgets(),
                                   .uptime = uptime,
                                   .server_restarts = supervision.server_restarts.load(),
                                   .oom_kills = supervision.oom_kills.load(),
                                   .psi = psi_->stats()};
              },
          .audit = [this] { return volume_.fs().audit(); },
          .compact = [this] { return volume_.compact(); },
          .shrink = [this](const ReclaimRequest& request) { return volume_.reclaimer().run(request); },
          .change = [this](const std::vector<Setting>& settings) { return live_options_.change(settings); }};
}

void Daemon::serve_connection() {
  std::string failure;
  auto end = FuseServer::End::kConnectionEnded;
  try {
    end = fuse_->run();
  } catch (const std::exception& error) {
    failure = error.what();
  }
  asio::post(io_, [this, end, failure] { on_connection_ended(end, failure); });
}

void Daemon::on_usable() {
  raise_read_ahead(mountpoint_);
  show_alive();
  tell_holder(descriptors_.ready, kReady);
  // A holder that stands still must not make us wait.
  ::fcntl(descriptors_.ready.get(), F_SETFL, O_NONBLOCK);
  is_usable_ = true;
  tell_status();
}

void Daemon::on_connection_ended(FuseServer::End end, const std::string& failure) {
  is_connection_ended_ = true;
  is_parked_ = end == FuseServer::End::kParked;
  failure_ = failure;
  io_.stop();
}

void Daemon::wait_for_signal() {
  signals_.async_wait([this](const Error& error, int signal) {
    if (error) return;
    stop(std::string("got ") + ::strsignal(signal));
    wait_for_signal();  // more of them must not kill us meanwhile
  });
}

void Daemon::wait_for_orders() {
  orders_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const Error& error) {
    if (error) return;
    char order = 0;
    const ssize_t count = ::read(orders_.native_handle(), &order, 1);
    if (count == 0) return on_holder_died();
    if (count == 1) obey(ServerOrder(order));
    wait_for_orders();
  });
}

void Daemon::obey(ServerOrder order) {
  switch (order) {
    case ServerOrder::kUnmount: return stop("told to end");
    case ServerOrder::kPark: return park("told to");
    case ServerOrder::kOwnName: owns_name_ = true; return;
    case ServerOrder::kOutlive: outlives_holder_ = true; return;
    case ServerOrder::kReload: return reload();
    case ServerOrder::kTellStatus: tells_status_ = true; return tell_status();
  }
}

// A smaller size may have to be reclaimed first.
void Daemon::reload() {
  control_->run_slowly([this] {
    auto news = ServerNews::kReloaded;
    std::string text;
    try {
      for (const std::string& warning : live_options_.reload(Surroundings::current()))
        text.append(text.empty() ? "" : "; ").append(warning);
    } catch (const std::exception& error) {
      news = ServerNews::kReloadRefused;
      text = error.what();
    }
    asio::post(io_, [this, news, text] {
      tell_status();  // with the new limits
      outcomes_.emplace_back(news, text);
      tell_outcomes();
    });
  });
}

// The holder waits for each of them, in this order; it may be too busy to read just now.
void Daemon::tell_outcomes() {
  while (!outcomes_.empty() && tell_news(outcomes_.front().first, outcomes_.front().second)) outcomes_.pop_front();
  if (outcomes_.empty()) return;
  outcome_tick_.expires_after(kOutcomeRetry);
  outcome_tick_.async_wait([this](const Error& error) {
    if (!error) tell_outcomes();
  });
}

// Not before we are ready: what comes before is no news.
void Daemon::tell_status() {
  if (!is_usable_ || !tells_status_) return;
  const VolumeStats stats = volume_.stats();
  const std::string status = status_text(options_.mountpoint, stats);
  if (status != status_ && tell_news(ServerNews::kStatus, status)) status_ = status;
  status_tick_.expires_after(kStatusInterval);
  status_tick_.async_wait([this](const Error& error) {
    if (!error) tell_status();
  });
}

// False if the holder does not read just now.
bool Daemon::tell_news(ServerNews news, std::string_view text) const {
  const std::string line = char(news) + std::string(text.substr(0, kNewsMax)) + kNewsEnd;
  return ::write(descriptors_.ready.get(), line.data(), line.size()) >= 0 || errno != EAGAIN;
}

void Daemon::on_holder_died() {
  is_holder_dead_ = true;
  if (outlives_holder_) return park("the holder has died");
  stop("the holder has died");
}

void Daemon::park(const std::string& why) {
  if (is_stopping_) return;  // who was told to unmount does
  log(LogLevel::kInfo, why + ", leaving " + options_.mountpoint + " to another server");
  fuse_->park();
}

// Waking the thread is all that is done here: it must not be slow.
void Daemon::watch_pressure(const std::string& psi) {
  const auto option = parse_psi_option(psi);
  psi_.reset();  // its triggers go before the new ones come
  psi_ = std::make_unique<PsiWatcher>(io_, find_psi_sources(option.value_or(PsiOption{}), PsiSurroundings::current()),
                                      [this](PressureLevel level, const std::string&) { reclaim_thread_.wake(level); });
}

void Daemon::show_alive() {
  volume_.image().supervision().alive_at.store(to_record(clock_.monotonic()), std::memory_order_relaxed);
}

// The one before may have been killed because memory was short, whoever was to blame.
void Daemon::recover_memory() {
  if (volume_.image().supervision().last_end == ServerEnd::kKilled) reclaim_thread_.wake(PressureLevel::kSome);
}

void Daemon::keep_house() {
  show_alive();
  if (const auto level = memory_watch_.check()) reclaim_thread_.wake(*level);
  auto pause = housekeeping_.tick(requests_answered());
  if (options_.hang.count() != 0) pause = std::min(pause, options_.hang / kSignsOfLife);
  if (const uint64_t interval = volume_.image().supervision().alive_interval.load(); interval != 0)
    pause = std::min(pause, std::chrono::milliseconds(interval));
  tick_.expires_after(pause);
  tick_.async_wait([this](const Error& error) {
    if (!error) keep_house();
  });
}

uint64_t Daemon::requests_answered() const {
  uint64_t sum = fuse_->forgets();
  for (const auto& [opcode, count] : fuse_->request_counts()) sum += count;
  return sum;
}

void Daemon::stop(const std::string& why) {
  if (is_stopping_) return;
  is_stopping_ = true;
  log(LogLevel::kInfo, why + ", unmounting " + options_.mountpoint);
  if (unmount(mountpoint_, false) == UnmountResult::kBusy) {
    log(LogLevel::kWarning, options_.mountpoint + " is in use by " +
                                describe_mount_users(find_mount_users(options_.mountpoint)) +
                                ": detached, to end with them or in " + std::to_string(kPatience.count()) + " s");
    unmount(mountpoint_, true);
  }
  patience_.expires_after(kPatience);
  patience_.async_wait([this](const Error& error) {
    if (!error) give_up();
  });
}

void Daemon::give_up() {
  log(LogLevel::kError, options_.mountpoint + " is still in use: ending the connection");
  is_cut_off_ = true;
  abort_connection(mountpoint_);
  patience_.expires_after(kAbortPatience);
  patience_.async_wait([this](const Error& error) {
    if (!error) io_.stop();
  });
}

}  // namespace ztmpfs
