#include "fuse/reader.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>

#include "base/durable_store.h"
#include "base/log.h"
#include "fuse/operations.h"
#include "fuse/request_check.h"
#include "fuse/request_counts.h"

namespace ztmpfs {

namespace {

// No id of the kernel's: those of requests count up by two from 2.
constexpr uint64_t kReplayUnique = 0x7ffffffffffffffe;
constexpr int kWakeSignal = SIGUSR1;

int set_custom_io(fuse_session* session, const fuse_custom_io& io, int fd) {
#if FUSE_USE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  return fuse_session_custom_io(session, &io, sizeof(io), fd);
#else
  return fuse_session_custom_io(session, &io, fd);
#endif
}

std::string describe(const fuse_in_header& header) {
  const OpcodeInfo* info = opcode_info(header.opcode);
  return (info != nullptr ? std::string(info->name) : "opcode " + std::to_string(header.opcode)) + " of inode " +
         std::to_string(header.nodeid);
}

}  // namespace

void Reader::SessionDeleter::operator()(fuse_session* session) const { fuse_session_destroy(session); }

Reader::Reader(int fd, const Image& image, uint32_t slot, FileSystem& fs, const RequestHooks& hooks,
               const RequestFeatures& features)
    : image_(image),
      slot_(image, slot),
      started_at_(image.supervision().slots[slot].request_started_at),
      fs_(fs),
      hooks_(hooks),
      features_(features) {
  started_at_.store(0, std::memory_order_relaxed);
  char program[] = "ztmpfs";
  char* arguments[] = {program, nullptr};
  fuse_args args = FUSE_ARGS_INIT(1, arguments);
  const fuse_lowlevel_ops operations = lowlevel_operations();
  session_.reset(fuse_session_new(&args, &operations, sizeof(operations), this));
  fuse_opt_free_args(&args);
  if (!session_) throw std::runtime_error("libfuse cannot make a session");
  fuse_custom_io io{};
  io.writev = [](int, iovec* parts, int count, void* reader) {
    return static_cast<Reader*>(reader)->send(parts, count);
  };
  // Required by libfuse; called only by its own loop, which does not run here.
  io.read = [](int, void*, size_t, void*) -> ssize_t {
    errno = ENOSYS;
    return -1;
  };
  fd_ = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "cannot duplicate the FUSE descriptor");
  if (set_custom_io(session_.get(), io, fd_) != 0) {
    ::close(fd_);
    throw std::runtime_error(
        "libfuse does not take our own input and output: 3.18.3 and later must be built with enable-custom-io, as "
        "scripts/libfuse does");
  }
}

Reader::~Reader() = default;

Negotiation Reader::initialize(std::span<const std::byte> init) {
  // A copy with zeros behind it: libfuse reads fields that a shorter request of an older kernel does not have.
  alignas(8) std::array<std::byte, ReaderRecord::kInitMax> request{};
  std::copy_n(init.begin(), std::min(init.size(), request.size()), request.begin());
  auto* header = reinterpret_cast<fuse_in_header*>(request.data());
  header->unique = kReplayUnique;
  // libfuse 3.14 takes the wish for parallel lookups, but does not pass it on, and does not know the others.
  const uint32_t wanted = FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2 | (features_.acl ? FUSE_SETXATTR_EXT : 0);
  const uint32_t flags = reinterpret_cast<fuse_init_in*>(header + 1)->flags & wanted;
  features_.long_setxattr = (flags & FUSE_SETXATTR_EXT) != 0;
  Negotiation negotiation;
  init_reply_ = &negotiation;
  fuse_buf buffer{};
  buffer.mem = request.data();
  buffer.size = request.size();
  fuse_session_process_buf(session_.get(), &buffer);
  init_reply_ = nullptr;
  if (!is_initialized_ || fuse_session_exited(session_.get()) ||
      negotiation.reply_length < FUSE_COMPAT_22_INIT_OUT_SIZE)
    throw std::runtime_error("the kernel's FUSE protocol does not fit this program");
  reinterpret_cast<fuse_init_out*>(negotiation.reply.data())->flags |= flags;
  negotiation.has_xattr = features_.xattr ? 1 : 0;
  return negotiation;
}

void Reader::answer_init(const Negotiation& negotiation) {
  std::array<std::byte, Negotiation::kReplyMax> body = negotiation.reply;
  fuse_out_header header{
      .len = uint32_t(sizeof(header) + negotiation.reply_length), .error = 0, .unique = slot_.header().unique};
  const iovec parts[] = {{&header, sizeof(header)}, {body.data(), negotiation.reply_length}};
  has_replied_ = false;
  send(parts, 2);
  hide_request();
}

// The disposition is the process's, the same for all readers, and stays: a signal may come late.
void Reader::enter_thread() {
  thread_ = ::gettid();
  struct sigaction action{};
  action.sa_handler = [](int) {};  // without SA_RESTART: read(2) returns
  ::sigaction(kWakeSignal, &action, nullptr);
  sigset_t wake;
  ::sigemptyset(&wake);
  ::sigaddset(&wake, kWakeSignal);
  ::pthread_sigmask(SIG_UNBLOCK, &wake, nullptr);
}

// Either stop() sees that we wait, or we see that it was called: both store first, then look.
size_t Reader::receive() {
  waiting_thread_.store(thread_);
  const size_t length = is_stopped_.load() ? 0 : receive_next();
  waiting_thread_.store(0, std::memory_order_release);
  return length;
}

bool Reader::stop() {
  is_stopped_.store(true);
  const pid_t thread = waiting_thread_.load();
  if (thread == 0) return true;
  // By its number, not as a pthread: it may have ended since. Should another thread have got the number, the signal
  // does nothing there.
  ::syscall(SYS_tgkill, ::getpid(), thread, kWakeSignal);
  return false;
}

size_t Reader::receive_next() {
  const auto space = slot_.request_space();
  while (!is_stopped_.load(std::memory_order_relaxed)) {
    slot_.clear();
    const ssize_t length = ::read(fd_, space.data(), space.size());
    if (length > 0) {
      show_request();
      return size_t(length);
    }
    const int error = length < 0 ? errno : 0;  // 0: the other end of a socket is closed
    // ENOENT: the request was taken back before it was read.
    if (error == EINTR || error == EAGAIN || error == ENOENT) continue;
    // The others: unmounted, or aborted.
    if (error != 0 && error != ENODEV && error != ECONNABORTED && error != ECONNRESET)
      log(LogLevel::kError, "cannot read requests: " + std::generic_category().message(error));
    has_connection_ended_ = true;
    break;
  }
  return 0;
}

// The steady clock is the monotonic one, so one look at it does for both.
void Reader::show_request() {
  began_at_ = std::chrono::steady_clock::now();
  const auto since_boot = duration_cast<std::chrono::milliseconds>(began_at_.time_since_epoch());
  started_at_.store(to_record(since_boot), std::memory_order_relaxed);
}

void Reader::note_answer() {
  const uint32_t opcode = slot_.header().opcode;
  count_request(slot_, opcode);
  if (const auto index = counted_opcode(opcode))
    latencies_.record(*index, std::chrono::steady_clock::now() - began_at_);
}

void Reader::process(size_t length) {
  const fuse_in_header& header = slot_.header();
  operation_.emplace(image_, slot_.request(), Caller{.uid = header.uid, .gid = header.gid, .pid = header.pid});
  answer(length, false);
}

void Reader::process_again(uint32_t attempts_max) {
  show_request();
  const fuse_in_header& header = slot_.header();
  operation_.emplace(image_, slot_.request(), Caller{.uid = header.uid, .gid = header.gid, .pid = header.pid});
  auto& attempts = slot_.request().attempts;
  const uint32_t attempt = attempts.load(std::memory_order_relaxed) + 1;
  durable_store(attempts, attempt);
  // With an outcome there is only a reply to be sent, but for what is done in steps, which may have more to do.
  const bool may_go_on = !operation_->has_outcome() || operation_->outcome().kind == Outcome::kItems;
  bool is_poisonous = attempt >= attempts_max && may_go_on;
  if (is_poisonous) log(LogLevel::kError, "given up, after it ended the server repeatedly: " + describe(header));
  if (is_poisonous && header.opcode == FUSE_COPY_FILE_RANGE && operation_->has_outcome()) {
    // The kernel must learn of what was copied: a copy that is cut short.
    durable_store(slot_.request().outcome.kind, Outcome::kCount);
    is_poisonous = false;
  }
  answer(std::min<size_t>(header.len, slot_.request_space().size()), is_poisonous);
}

void Reader::answer(size_t length, bool is_poisonous) {
  has_replied_ = false;
  const auto verdict = check_request(slot_.request_space().first(length), slot_.transfer_max(), features_);
  if (verdict != RequestVerdict::kDrop) {
    const uint32_t opcode = slot_.header().opcode;
    if (verdict == RequestVerdict::kUnsupported) {
      reply_error(ENOSYS);
    } else {
      if (verdict == RequestVerdict::kServe && !is_poisonous && opcode != FUSE_INIT) execute(length);
      if (opcode_info(opcode)->answered && !has_replied_) reply_error(EIO);
    }
    if (!has_replied_) note_answer();
    if (hooks_.after_reply) hooks_.after_reply(opcode);
  }
  // In this order: a request that is not in the slot any more has no outcome that counts.
  slot_.clear();
  operation_->end();
  hide_request();
}

void Reader::execute(size_t length) {
  // Not for libfuse (3.18), which would refuse what other threads have sent before it.
  if (slot_.header().opcode == FUSE_DESTROY) return reply_error(0);
  fuse_buf request{};
  request.mem = slot_.request_space().data();
  request.size = length;
  fuse_session_process_buf(session_.get(), &request);
  if (!has_replied_ && opcode_info(slot_.header().opcode)->answered)
    log_limited(LogLevel::kError, "no reply", "no reply was made to " + describe(slot_.header()));
}

void Reader::reply_error(int error) {
  fuse_out_header reply{.len = sizeof(fuse_out_header), .error = -error, .unique = slot_.header().unique};
  const iovec part{&reply, sizeof(reply)};
  send(&part, 1);
}

ssize_t Reader::send(const iovec* parts, int count) {
  ssize_t length = 0;
  for (int i = 0; i < count; ++i) length += ssize_t(parts[i].iov_len);
  if (init_reply_ != nullptr) {
    if (count > 1) init_reply_->set_reply({static_cast<const std::byte*>(parts[1].iov_base), parts[1].iov_len});
    return length;
  }
  if (has_replied_) {
    log_limited(LogLevel::kError, "second reply", "a second reply was held back from " + describe(slot_.header()));
    return length;
  }
  has_replied_ = true;
  // Before the reply: who has it finds the request counted.
  note_answer();
  ssize_t sent = 0;
  do sent = ::writev(fd_, parts, count);
  while (sent < 0 && errno == EINTR);
  // ENOENT: nobody waits any more, or a former server has answered. The rest says that the connection has ended.
  if (sent < 0 && errno != ENOENT && errno != ENODEV && errno != EPIPE && errno != ECONNRESET) {
    const std::string reason = std::generic_category().message(errno);
    log_limited(LogLevel::kError, "refused reply",
                "no reply could be sent to " + describe(slot_.header()) + ": " + reason);
  }
  return length;
}

}  // namespace ztmpfs
