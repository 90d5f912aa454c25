#include "daemon/holder_socket.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "daemon/unix_listener.h"

namespace ztmpfs {

namespace {

constexpr size_t kTextMax = 8 * 1024;
constexpr size_t kDescriptorsMax = 8;

}  // namespace

HolderSocket::HolderSocket(std::string path) : path_(std::move(path)), listener_(listen_on(path_, SOCK_SEQPACKET)) {}

HolderSocket::~HolderSocket() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

HolderSocket::Sources HolderSocket::sources() const {
  Sources sources;
  sources[0] = {.fd = listener_.get(), .events = POLLIN, .revents = 0};
  for (size_t client = 0; client < kClientsMax; ++client)
    sources[client + 1] = {.fd = clients_[client].fd.get(), .events = POLLIN, .revents = 0};
  return sources;
}

std::optional<HolderSocket::Request> HolderSocket::next(const Sources& sources) {
  for (size_t number = 0; number < kClientsMax; ++number) {
    Client& client = clients_[number];
    if (sources[number + 1].revents == 0 || !client.fd) continue;
    HolderRequest what{};
    const ssize_t length = ::recv(client.fd.get(), &what, 1, MSG_DONTWAIT);
    if (length == 1) return Request{client.id, what};
    if (length == 0 || errno != EAGAIN) client.fd.reset();
  }
  if (sources[0].revents != 0) accept();
  return std::nullopt;
}

void HolderSocket::accept() {
  UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!client) return;
  // With too many the last one is turned away.
  const auto place = std::ranges::find_if(clients_, [](const Client& one) { return !one.fd; });
  if (place != clients_.end()) *place = {.id = ++last_id_, .fd = std::move(client)};
}

int HolderSocket::client_fd(ClientId client) const {
  const auto place = std::ranges::find(clients_, client, &Client::id);
  return place != clients_.end() ? place->fd.get() : -1;
}

void HolderSocket::hang_up(ClientId client) {
  const auto place = std::ranges::find(clients_, client, &Client::id);
  if (place != clients_.end()) place->fd.reset();
}

void HolderSocket::answer(ClientId client, HolderVerdict verdict, std::string_view text,
                          std::span<const int> descriptors, bool stays) {
  std::array<char, 1 + kTextMax> bytes;
  bytes[0] = char(verdict);
  const size_t length = std::min(text.size(), kTextMax);
  std::copy_n(text.begin(), length, bytes.begin() + 1);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kDescriptorsMax)> control{};
  iovec part{bytes.data(), 1 + length};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  }
  ::sendmsg(client_fd(client), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (!stays) hang_up(client);
}

}  // namespace ztmpfs
