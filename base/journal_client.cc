#include "base/journal_client.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>

#include "base/unix_address.h"

namespace ztmpfs {

namespace {

constexpr std::string_view kEquals = "=";
constexpr std::string_view kNewline = "\n";

// An entry as the parts of one datagram. Borrows its texts; of fixed size, because nothing is allocated.
class Entry {
 public:
  // A field whose value is the parts one after the other: NAME=value, or, if that has several lines, NAME, its length
  // and then the value.
  void add(std::string_view name, std::initializer_list<std::string_view> parts) {
    uint64_t length = 0;
    bool has_lines = false;
    for (const std::string_view part : parts) {
      length += part.size();
      has_lines = has_lines || part.find('\n') != std::string_view::npos;
    }
    append(name);
    if (has_lines) {
      static_assert(std::endian::native == std::endian::little, "lengths are little-endian");
      lengths_[fields_] = length;
      append(kNewline);
      append({reinterpret_cast<const char*>(&lengths_[fields_]), sizeof(length)});
    } else {
      append(kEquals);
    }
    for (const std::string_view part : parts) append(part);
    append(kNewline);
    ++fields_;
  }

  msghdr message(const sockaddr_un& address) {
    msghdr header{};
    header.msg_name = const_cast<sockaddr_un*>(&address);
    header.msg_namelen = sizeof(address);
    header.msg_iov = parts_.data();
    header.msg_iovlen = count_;
    return header;
  }

 private:
  static constexpr size_t kFieldsMax = 5;
  static constexpr size_t kPartsOfField = 7;  // the message: name, newline, length, three parts, newline

  void append(std::string_view text) {
    parts_[count_++] = {.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
  }

  std::array<iovec, kFieldsMax * kPartsOfField> parts_;
  std::array<uint64_t, kFieldsMax> lengths_;
  size_t count_ = 0;
  size_t fields_ = 0;
};

}  // namespace

bool is_journal_stream(int fd, std::string_view stream) {
  uint64_t device = 0;
  uint64_t inode = 0;
  const char* const begin = stream.data();
  const char* const end = begin + stream.size();
  const auto first = std::from_chars(begin, end, device);
  if (first.ec != std::errc{} || first.ptr == end || *first.ptr != ':') return false;
  const auto second = std::from_chars(first.ptr + 1, end, inode);
  if (second.ec != std::errc{} || second.ptr != end) return false;
  struct stat status{};
  return ::fstat(fd, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

bool is_stderr_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  return stream != nullptr && is_journal_stream(STDERR_FILENO, stream);
}

std::string_view journal_prefix(int priority) {
  constexpr std::array<std::string_view, 8> kPrefixes{"<0>", "<1>", "<2>", "<3>", "<4>", "<5>", "<6>", "<7>"};
  return is_stderr_journal() ? kPrefixes[size_t(priority)] : "";
}

JournalClient::JournalClient(const std::string& socket_path)
    : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)), address_(unix_address(socket_path)) {}

bool JournalClient::send(const JournalRecord& record) const {
  const char priority = char('0' + record.priority);
  Entry entry;
  entry.add("MESSAGE", {record.name, ": ", record.text});
  entry.add("PRIORITY", {{&priority, 1}});
  entry.add("SYSLOG_IDENTIFIER", {"ztmpfs"});
  entry.add("ZTMPFS_NAME", {record.name});
  if (!record.event.empty()) entry.add("ZTMPFS_EVENT", {record.event});
  const msghdr message = entry.message(address_);
  ssize_t sent = -1;
  do {
    sent = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

}  // namespace ztmpfs
