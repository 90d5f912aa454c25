#pragma once

#include <poll.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/holder_client.h"
#include "base/unique_fd.h"

namespace ztmpfs {

/// The holder's end of holder_client.h: takes requests without ever waiting for anybody, and allocates nothing. Knows
/// nothing of what is asked. One thread.
class HolderSocket {
 public:
  static constexpr size_t kClientsMax = 8;
  static constexpr size_t kSourcesMax = kClientsMax + 1;
  using Sources = std::array<pollfd, kSourcesMax>;

  /// A connection; no two have the same one.
  using ClientId = uint64_t;

  struct Request {
    ClientId client;
    HolderRequest what;
  };

  /// Listens. Throws std::runtime_error with a sentence.
  explicit HolderSocket(std::string path);
  /// Removes the socket, unless release_path() was called.
  ~HolderSocket();
  HolderSocket(const HolderSocket&) = delete;
  HolderSocket& operator=(const HolderSocket&) = delete;

  /// What to poll(2), and what to do with it then: who has gone is forgotten; the next request, if there is one.
  Sources sources() const;
  std::optional<Request> next(const Sources& sources);

  /// Answers and, unless it is to say more, hangs up.
  void answer(ClientId client, HolderVerdict verdict, std::string_view text, std::span<const int> descriptors = {},
              bool stays = false);
  /// Whether the client is still there.
  bool has(ClientId client) const { return client_fd(client) >= 0; }
  /// The client's descriptor, for a process that answers itself; -1 if it has gone.
  int client_fd(ClientId client) const;
  void hang_up(ClientId client);
  /// Another process listens at the path now.
  void release_path() { path_.clear(); }

 private:
  struct Client {
    ClientId id = 0;
    UniqueFd fd;
  };

  void accept();

  std::string path_;
  UniqueFd listener_;
  ClientId last_id_ = 0;
  std::array<Client, kClientsMax> clients_;
};

}  // namespace ztmpfs
