#include "base/holder_client.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <stdexcept>

#include "base/unix_address.h"

namespace ztmpfs {

namespace {

constexpr size_t kDescriptorsMax = 8;

// One message with what is attached to it; false at the end of the connection.
bool receive(int socket, std::string& text, std::vector<UniqueFd>& descriptors) {
  std::array<char, 64 * 1024> bytes;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kDescriptorsMax)> control{};
  iovec part{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t length = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (length <= 0) return false;
  text.append(bytes.data(), size_t(length));
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      descriptors.emplace_back(fd);
    }
  }
  return true;
}

}  // namespace

HolderClient::HolderClient(const std::string& socket_path) {
  const sockaddr_un address = unix_address(socket_path);
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0)
    socket_ = std::move(socket);
}

std::optional<HolderAnswer> HolderClient::ask(HolderRequest request, std::chrono::milliseconds patience) const {
  tell(request);
  pollfd answered{.fd = socket_.get(), .events = POLLIN, .revents = 0};
  if (::poll(&answered, 1, int(patience.count())) == 0) throw std::runtime_error("the holder does not answer");
  HolderAnswer answer{};
  std::string text;
  if (!receive(socket_.get(), text, answer.descriptors)) return std::nullopt;
  answer.verdict = HolderVerdict(text.front());
  answer.text = text.substr(1);
  return answer;
}

std::string HolderClient::read_rest() const {
  std::string text;
  std::vector<UniqueFd> none;
  while (receive(socket_.get(), text, none)) {
  }
  return text;
}

void HolderClient::tell(HolderRequest request) const {
  [[maybe_unused]] const ssize_t sent = ::send(socket_.get(), &request, 1, MSG_NOSIGNAL);
}

std::string holder_socket_path(const std::string& runtime_dir, const std::string& name) {
  return runtime_dir + "/" + name + kHolderSocketSuffix;
}

}  // namespace ztmpfs
