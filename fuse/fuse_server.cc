#include "fuse/fuse_server.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>

#include "base/durable_store.h"
#include "base/log.h"
#include "fuse/client_follower.h"
#include "fuse/connection_end.h"
#include "fuse/request_check.h"
#include "fuse/request_counts.h"
#include "fuse/translate.h"

namespace ztmpfs {

namespace {

// linux/fuse.h since protocol 7.40 (kernel 6.9).
constexpr int32_t kNotifyResend = 7;
// Between two signals to a reader that waits.
constexpr std::chrono::microseconds kParkPause{200};

void log_from_libfuse(fuse_log_level level, const char* format, va_list arguments) {
  char line[512];
  std::vsnprintf(line, sizeof(line), format, arguments);
  std::string_view text(line);
  while (text.ends_with('\n')) text.remove_suffix(1);
  log_limited(level <= FUSE_LOG_WARNING ? LogLevel::kWarning : LogLevel::kDebug, "libfuse", text);
}

// Threads started meanwhile take no signals: they are the main thread's.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

bool is_forget(const RequestSlot& slot) {
  return slot.header().opcode == FUSE_FORGET || slot.header().opcode == FUSE_BATCH_FORGET;
}

}  // namespace

FuseServer::FuseServer(int fd, Volume& volume, Options options)
    : fd_(fd), volume_(volume), options_(std::move(options)), notifier_(fd), awake_cpus_(AwakeCpus::open_latency()) {
  const ImageGeometry& geometry = volume.image().geometry();
  if (options_.readers == 0 || options_.readers > geometry.request_slots)
    throw std::invalid_argument("there must be 1 to " + std::to_string(geometry.request_slots) + " readers, not " +
                                std::to_string(options_.readers));
  fuse_set_log_func(&log_from_libfuse);
  if (auto& is_over = volume.image().supervision().is_connection_over; is_over.load(std::memory_order_acquire) != 0) {
    drop_connection(volume);
    durable_store(is_over, 0);
  }
  for (uint32_t slot = 0; slot < geometry.request_slots; ++slot) {
    if (!slots_.emplace_back(volume.image(), slot).populate())
      log_limited(
          LogLevel::kWarning, "not locked",
          "may not lock the request buffers in memory (RLIMIT_MEMLOCK): once they were swapped out, the death of "
          "the server may end a request with EIO");
    readers_.push_back(
        std::make_unique<Reader>(fd, volume.image(), slot, volume.fs(), options_.hooks, options_.features));
    readers_.back()->set_notifier(notifier_);
  }
  volume.budget().charge(geometry.request_slots * geometry.request_buffer_size);
}

FuseServer::~FuseServer() {
  const ImageGeometry& geometry = volume_.image().geometry();
  volume_.budget().uncharge(geometry.request_slots * geometry.request_buffer_size);
}

FuseServer::End FuseServer::run() {
  // Reclaim that a request of ours starts must not wait for our own mount (prctl(2)). Threads started below inherit it.
  if (::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) != 0)
    log(LogLevel::kDebug, "no right to be an I/O flusher (CAP_SYS_RESOURCE)");
  if (attach()) {
    if (options_.on_ready) options_.on_ready();
    serve();
  }
  const bool has_ended =
      std::ranges::any_of(readers_, [](const auto& reader) { return reader->has_connection_ended(); });
  return has_ended ? End::kConnectionEnded : End::kParked;
}

void FuseServer::park() {
  while (true) {
    bool all_stopped = true;
    for (const auto& reader : readers_)
      if (!reader->stop()) all_stopped = false;
    if (all_stopped) return;
    std::this_thread::sleep_for(kParkPause);
  }
}

bool FuseServer::attach() {
  const RequestSlot& first = slots_.front();
  for (const RequestSlot& slot : slots_)
    if (slot.is_pending() && slot.header().len < sizeof(fuse_in_header))
      throw std::runtime_error("the image is damaged: a request that was finished is there again");
  if (first.is_pending() && first.header().opcode == FUSE_INIT) {
    // A former server died while it began the connection; perhaps its reply was sent.
    const size_t length = std::min<size_t>(first.header().len, ReaderRecord::kInitMax);
    adopt_init(first.request_space().first(length), true);
  } else if (const auto saved = first.reader().saved_init(); !saved.empty()) {
    adopt_init(saved, false);
  } else {
    return await_init();
  }
  finish_requests_left();
  ask_to_resend();
  return true;
}

bool FuseServer::await_init() {
  Reader& reader = *readers_.front();
  reader.enter_thread();
  while (const size_t length = reader.receive()) {
    const auto request = reader.slot().request_space().first(length);
    if (check_request(request, 0) == RequestVerdict::kServe && reader.slot().header().opcode == FUSE_INIT) {
      adopt_init(request, true);
      return true;
    }
    reader.process(length);
  }
  return false;
}

// Saved before it is answered: from then on no other INIT will come.
void FuseServer::adopt_init(std::span<const std::byte> init, bool is_new) {
  if (is_new) slots_.front().reader().save_init(init);
  Negotiation ours;
  for (const auto& reader : readers_) ours = reader->initialize(init);
  keep_to_negotiation(ours);
  if (!is_new) return;
  readers_.front()->answer_init(ours);
  slots_.front().clear();
}

// Kept before it is told to the kernel.
void FuseServer::keep_to_negotiation(const Negotiation& ours) {
  ReaderRecord& saved = slots_.front().reader();
  if (saved.has_negotiation.load(std::memory_order_acquire) == 0) {
    kill_point();
    saved.negotiation = ours;
    durable_store(saved.has_negotiation, 1);
  } else if (const std::string difference = describe_difference(saved.negotiation, ours); !difference.empty()) {
    throw std::runtime_error(
        "what was agreed with the kernel when the mount began cannot be changed, and this server "
        "would agree to something else: " +
        difference);
  }
}

void FuseServer::finish_requests_left() {
  for (const bool forgets : {true, false}) {
    for (const auto& reader : readers_)
      if (reader->slot().is_pending() && is_forget(reader->slot()) == forgets)
        reader->process_again(options_.attempts_max);
  }
  // A server that died in the very end of a request left what was recorded of one that is gone.
  for (const RequestSlot& slot : slots_) {
    durable_store(slot.request().attempts, 0);
    durable_store(slot.request().intent.state, IntentRecord::kIdle);
  }
}

// A second net; the first is that every request read is in a slot. Kernels before 6.9 answer EINVAL.
void FuseServer::ask_to_resend() const {
  const fuse_out_header notification{.len = sizeof(notification), .error = kNotifyResend, .unique = 0};
  if (::write(fd_, &notification, sizeof(notification)) < 0)
    log(LogLevel::kDebug, "the kernel cannot send requests again");
}

void FuseServer::serve() {
  std::vector<std::thread> threads;
  {
    const SignalsBlocked blocked;
    notifier_.start();
    awake_cpus_.start();
    for (uint32_t number = 0; number < options_.readers; ++number) {
      threads.emplace_back([this, &reader = *readers_[number]] { serve_with(reader); });
      ::pthread_setname_np(threads.back().native_handle(), ("fuse-reader-" + std::to_string(number)).c_str());
    }
  }
  for (std::thread& thread : threads) thread.join();
  awake_cpus_.stop();
  notifier_.stop();
}

// One reader waits at a time, and goes on waiting itself after a short request: the kernel then wakes the same thread
// for the next one. See decision "One reader waits". Whether the lock is held meanwhile depends on the request: more
// than the analysis follows.
void FuseServer::serve_with(Reader& reader) NO_THREAD_SAFETY_ANALYSIS {
  reader.enter_thread();
  ClientFollower follower;
  MutexLock waiting(waiting_mutex_);
  while (const size_t length = reader.receive()) {
    const bool is_long = reader.slot().transfer() >= options_.long_transfer;
    if (is_long) {
      waiting.unlock();
      follower.release();
    } else {
      // A long request takes so long that a wake-up hardly matters, and CPUs that poll may slow it down.
      awake_cpus_.note_request(reader.began_at());
      follower.follow(reader.slot().header().pid);
    }
    reader.process(length);
    if (is_long) waiting.lock();
  }
}

std::map<std::string, uint64_t> FuseServer::request_counts() const { return ztmpfs::request_counts(slots_); }

std::map<std::string, LatencyHistogram> FuseServer::latencies() const {
  std::map<std::string, LatencyHistogram> latencies;
  for (uint32_t index = 0; index < kOpcodeCount; ++index) {
    LatencyHistogram histogram;
    for (const auto& reader : readers_) reader->latencies().add_to(histogram, index);
    if (histogram.count() != 0) latencies.emplace(counted_name(index), histogram);
  }
  return latencies;
}

uint64_t FuseServer::forgets() const { return forget_count(slots_); }

}  // namespace ztmpfs
