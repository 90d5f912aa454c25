#include "tests/support/fake_kernel.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace ztmpfs {

namespace {

constexpr int kSocketBuffer = 8 * 1024 * 1024;
constexpr std::chrono::seconds kPatience{60};
constexpr size_t kRequestsKept = 4096;
constexpr int32_t kNotifyResend = 7;  // linux/fuse.h since protocol 7.40

template <class T>
T load(std::span<const std::byte> bytes, size_t offset = 0) {
  if (bytes.size() < offset + sizeof(T)) throw std::runtime_error("a reply is too short");
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

void enlarge_buffer(int fd) {
  if (::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kSocketBuffer, sizeof(kSocketBuffer)) != 0)
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSocketBuffer, sizeof(kSocketBuffer));
}

// Executed again after other requests, these may answer otherwise without any harm: nobody waits.
bool only_reads(uint32_t opcode) {
  switch (opcode) {
    case FUSE_GETATTR:
    case FUSE_READ:
    case FUSE_READDIR:
    case FUSE_READLINK:
    case FUSE_STATFS: return true;
    default: return false;
  }
}

// st_blocks may differ: contents are freed and sealed behind the back of requests.
std::vector<std::byte> comparable(uint32_t opcode, const FakeKernel::Reply& reply) {
  std::vector<std::byte> body = reply.body;
  const auto mask = [&](size_t offset) {
    for (size_t i = offset; i < std::min(body.size(), offset + sizeof(fuse_attr::blocks)); ++i) body[i] = std::byte(0);
  };
  if (opcode == FUSE_SETATTR) mask(offsetof(fuse_attr_out, attr.blocks));
  if (gives_entry(opcode)) mask(offsetof(fuse_entry_out, attr.blocks));
  return body;
}

}  // namespace

std::vector<std::byte> init_argument() {
  fuse_init_in argument{};
  argument.major = FUSE_KERNEL_VERSION;
  argument.minor = FUSE_KERNEL_MINOR_VERSION;
  argument.max_readahead = 128 * 1024;
  argument.flags = 0x7fffffff;
  argument.flags2 = 0xf;
  const auto bytes = std::as_bytes(std::span(&argument, 1));
  return {bytes.begin(), bytes.end()};
}

bool gives_entry(uint32_t opcode) {
  switch (opcode) {
    case FUSE_LOOKUP:
    case FUSE_CREATE:
    case FUSE_TMPFILE:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_SYMLINK:
    case FUSE_LINK: return true;
    default: return false;
  }
}

FakeKernel::FakeKernel() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw std::system_error(errno, std::generic_category(), "socketpair");
  kernel_end_.reset(ends[0]);
  server_end_.reset(ends[1]);
  for (const int fd : ends) enlarge_buffer(fd);
}

FakeKernel::~FakeKernel() { disconnect(); }

void FakeKernel::start() {
  receiver_ = std::thread([this] { receive(); });
}

void FakeKernel::disconnect() {
  ::shutdown(kernel_end_.get(), SHUT_RDWR);
  if (receiver_.joinable()) receiver_.join();
}

std::vector<std::byte> FakeKernel::make_request(uint32_t opcode, uint64_t nodeid, std::span<const std::byte> argument) {
  fuse_in_header header{};
  header.len = uint32_t(sizeof(header) + argument.size());
  header.opcode = opcode;
  header.nodeid = nodeid;
  header.uid = 1000;
  header.gid = 1000;
  header.pid = 1;
  {
    MutexLock lock(mutex_);
    last_unique_ += 2;
    header.unique = last_unique_;
  }
  std::vector<std::byte> request(header.len);
  std::memcpy(request.data(), &header, sizeof(header));
  if (!argument.empty()) std::memcpy(request.data() + sizeof(header), argument.data(), argument.size());
  return request;
}

uint64_t FakeKernel::expect(std::span<const std::byte> request) {
  const auto header = load<fuse_in_header>(request);
  MutexLock lock(mutex_);
  requests_[header.unique] = {.opcode = header.opcode, .reply = std::nullopt};
  while (requests_.size() > kRequestsKept && requests_.begin()->second.is_taken) requests_.erase(requests_.begin());
  return header.unique;
}

uint64_t FakeKernel::send(std::span<const std::byte> request) {
  const uint64_t unique = expect(request);
  send_raw(request);
  return unique;
}

uint64_t FakeKernel::send(uint32_t opcode, uint64_t nodeid, std::span<const std::byte> argument) {
  return send(make_request(opcode, nodeid, argument));
}

void FakeKernel::send_raw(std::span<const std::byte> bytes) {
  if (::send(kernel_end_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) != ssize_t(bytes.size()))
    throw std::system_error(errno, std::generic_category(), "cannot send a request");
}

FakeKernel::Reply FakeKernel::wait(uint64_t unique) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  MutexLock lock(mutex_);
  while (true) {
    Request& request = requests_.at(unique);
    if (request.reply) {
      request.is_taken = true;
      return *request.reply;
    }
    if (answered_.wait_until(lock, deadline) == std::cv_status::timeout)
      throw std::runtime_error("request " + std::to_string(unique) + " (opcode " + std::to_string(request.opcode) +
                               ") is not answered");
  }
}

FakeKernel::Reply FakeKernel::call(uint32_t opcode, uint64_t nodeid, std::span<const std::byte> argument) {
  return wait(send(opcode, nodeid, argument));
}

FakeKernel::Reply FakeKernel::init() { return call(FUSE_INIT, 0, init_argument()); }

void FakeKernel::receive() {
  std::vector<std::byte> buffer(kBufferSize + 4096);
  while (true) {
    const ssize_t length = ::recv(kernel_end_.get(), buffer.data(), buffer.size(), 0);
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) return;
    MutexLock lock(mutex_);
    take_message(std::span(buffer).first(size_t(length)));
  }
}

void FakeKernel::take_message(std::span<const std::byte> message) {
  const auto header = load<fuse_out_header>(message);
  const auto body = message.subspan(sizeof(header));
  if (header.len != message.size()) contradictions_.push_back("a reply does not tell its length");
  if (header.unique == 0) return take_notification(header, body);
  Reply reply{.error = -header.error, .body = {body.begin(), body.end()}};
  const auto found = requests_.find(header.unique);
  if (found == requests_.end()) {
    ++late_replies_;
  } else if (found->second.reply) {
    take_late_reply(found->second, header.unique, reply);
  } else {
    count_lookups(found->second.opcode, reply);
    found->second.reply = std::move(reply);
    answered_.notify_all();
  }
}

void FakeKernel::take_notification(const fuse_out_header& header, std::span<const std::byte> body) {
  if (header.error == kNotifyResend) ++resend_notifications_;
  if (header.error == FUSE_NOTIFY_INVAL_INODE) invalidated_.push_back(load<fuse_notify_inval_inode_out>(body).ino);
}

void FakeKernel::take_late_reply(const Request& request, uint64_t unique, const Reply& reply) {
  ++late_replies_;
  if (!only_reads(request.opcode) && (reply.error != request.reply->error ||
                                      comparable(request.opcode, reply) != comparable(request.opcode, *request.reply)))
    contradictions_.push_back("request " + std::to_string(unique) + " (opcode " + std::to_string(request.opcode) +
                              ") was answered twice, and differently");
}

void FakeKernel::count_lookups(uint32_t opcode, const Reply& reply) {
  if (reply.error != 0) return;
  if (gives_entry(opcode)) {
    const auto entry = load<fuse_entry_out>(reply.body);
    if (entry.nodeid != 0) ++lookups_[entry.nodeid];
  }
  if (opcode != FUSE_READDIRPLUS) return;
  for (size_t offset = 0; offset < reply.body.size();) {
    const auto entry = load<fuse_direntplus>(reply.body, offset);
    if (entry.entry_out.nodeid != 0) ++lookups_[entry.entry_out.nodeid];
    offset += FUSE_DIRENTPLUS_SIZE(&entry);
  }
}

std::map<uint64_t, uint64_t> FakeKernel::lookups() const {
  MutexLock lock(mutex_);
  return lookups_;
}

uint64_t FakeKernel::lookups_of(uint64_t nodeid) const {
  MutexLock lock(mutex_);
  const auto found = lookups_.find(nodeid);
  return found == lookups_.end() ? 0 : found->second;
}

void FakeKernel::forget(std::span<const fuse_forget_one> items, bool batch) {
  {
    MutexLock lock(mutex_);
    for (const auto& item : items) {
      uint64_t& count = lookups_.at(item.nodeid);
      if (count < item.nlookup) throw std::logic_error("a lookup is forgotten that was not given");
      count -= item.nlookup;
      if (count == 0) lookups_.erase(item.nodeid);
    }
  }
  if (!batch) {
    for (const auto& item : items) {
      const fuse_forget_in argument{.nlookup = item.nlookup};
      send_raw(make_request(FUSE_FORGET, item.nodeid, std::as_bytes(std::span(&argument, 1))));
    }
    return;
  }
  std::vector<std::byte> argument(sizeof(fuse_batch_forget_in) + items.size_bytes());
  const fuse_batch_forget_in head{.count = uint32_t(items.size()), .dummy = 0};
  std::memcpy(argument.data(), &head, sizeof(head));
  std::memcpy(argument.data() + sizeof(head), items.data(), items.size_bytes());
  send_raw(make_request(FUSE_BATCH_FORGET, 0, argument));
}

uint64_t FakeKernel::late_replies() const {
  MutexLock lock(mutex_);
  return late_replies_;
}

std::vector<std::string> FakeKernel::contradictions() const {
  MutexLock lock(mutex_);
  return contradictions_;
}

uint64_t FakeKernel::resend_notifications() const {
  MutexLock lock(mutex_);
  return resend_notifications_;
}

std::vector<uint64_t> FakeKernel::invalidated() const {
  MutexLock lock(mutex_);
  return invalidated_;
}

}  // namespace ztmpfs
