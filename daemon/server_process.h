#pragma once

#include <sys/types.h>

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/server_descriptors.h"

namespace ztmpfs {

/// The server of a mount as its holder sees it: a child process that can be started again and again. Allocates nothing
/// once it is constructed. One thread.
class ServerProcess {
 public:
  /// Owns the descriptors, of which `ready` and `orders` are made here. `arguments` are what follows the first one.
  /// Throws std::system_error.
  ServerProcess(ServerDescriptors descriptors, std::vector<std::string> arguments);

  /// Is told the news of a server that is ready, from within read_report().
  void set_on_news(std::function<void(ServerNews news, std::string_view text)> on_news) {
    on_news_ = std::move(on_news);
  }
  /// What is started from now on: a descriptor of the program's file, borrowed.
  void set_program(int program) { program_ = program; }
  /// A descriptor that stays open in each server, for who waits for the end of it. Borrowed; -1: none.
  void set_witness(int fd) { witness_ = fd; }
  /// Starts a process; there must be none. False, with errno, if the kernel refuses.
  [[nodiscard]] bool start();
  /// 0: there is none.
  pid_t pid() const { return pid_; }
  /// The status of waitpid(2), once, when it has ended.
  std::optional<int> reap();
  void give_order(ServerOrder order) const;
  void kill() const;

  /// Readable when read_report() has something to do; -1 when it has no more to say.
  int report_fd() const { return report_.get(); }
  void read_report();
  bool has_attached() const { return has_attached_; }
  bool is_ready() const { return is_ready_; }
  /// What the last one has said of why it failed; empty if nothing.
  std::string_view sentence() const { return {sentence_.data(), sentence_length_}; }

  ServerDescriptors& descriptors() { return descriptors_; }

 private:
  [[noreturn]] void become_server(int report);
  void drop_orders() const;
  void take_byte(char byte);

  ServerDescriptors descriptors_;
  int program_ = -1;
  int witness_ = -1;
  UniqueFd orders_;  // write end; its closing by the kernel is the server's sign that we are gone
  UniqueFd report_;  // read end
  std::vector<std::string> arguments_;
  std::vector<char*> argument_pointers_;
  pid_t pid_ = 0;
  bool has_attached_ = false;
  bool is_ready_ = false;
  std::array<char, 1024> sentence_{};
  size_t sentence_length_ = 0;
  std::function<void(ServerNews, std::string_view)> on_news_;
  std::array<char, 1 + kNewsMax> news_{};  // under way
  size_t news_length_ = 0;
};

}  // namespace ztmpfs
