// What the holder is asked for (base/holder_client.h), also when there is no server.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/log.h"
#include "daemon/command_line.h"
#include "daemon/exec_program.h"
#include "daemon/holder.h"

namespace ztmpfs {

namespace {

constexpr size_t kStatusMax = 8 * 1024;

}  // namespace

void Holder::answer(const HolderSocket::Request& request) {
  switch (request.what) {
    case HolderRequest::kStatus: {
      std::array<char, kStatusMax> space;
      return socket_->answer(request.client, HolderVerdict::kDone, status_text(space));
    }
    case HolderRequest::kTake: return hand_over(request.client);
    case HolderRequest::kTaken:
      if (successor_ != request.client) break;
      socket_->release_path();
      is_handed_over_ = true;
      exit_code_ = EXIT_SUCCESS;
      return;
    case HolderRequest::kForget: return forget(request.client);
    case HolderRequest::kUpgrade: return begin_upgrade(request.client);
    case HolderRequest::kReload: return begin_reload(request.client);
    case HolderRequest::kCheck: return start_check(request.client);
  }
  socket_->answer(request.client, HolderVerdict::kRefused, "this is not a request to a holder");
}

std::string_view Holder::status_text(std::span<char> space) const {
  const bool is_mounted = state_ == State::kMounted;
  const char* state = is_mounted               ? mountpoint_.is_connected() ? "mounted" : "ending"
                      : state_ == State::kKept ? "kept"
                                               : "failed";
  std::array<char, 24> server{};
  std::snprintf(server.data(), server.size(), "%d", int(server_->pid()));
  const SupervisionRecord& record = supervision_->record();
  const int length = std::snprintf(space.data(), space.size(),
                                   R"({"name":"%s","state":"%s","mountpoint":%s,"server_pid":%s,"holder_pid":%d,)"
                                   R"("server_restarts":%llu,"oom_kills":%llu})",
                                   options_.name.c_str(), state, is_mounted ? quoted_mountpoint_.c_str() : "null",
                                   server_->pid() != 0 ? server.data() : "null", int(::getpid()),
                                   static_cast<unsigned long long>(record.server_restarts.load()),
                                   static_cast<unsigned long long>(record.oom_kills.load()));
  return {space.data(), std::min(size_t(length), space.size() - 1)};
}

// The contents stay ours too until the successor says that it has them: it may fail.
void Holder::hand_over(HolderSocket::ClientId client) {
  if (successor_ && !socket_->has(*successor_)) successor_.reset();
  if (state_ == State::kFailed)
    return socket_->answer(client, HolderVerdict::kRefused,
                           "the contents kept under this name are damaged: see ztmpfsctl check and forget");
  const bool is_in_use = state_ == State::kMounted && !is_stopping_ && mountpoint_.is_connected();
  if (is_in_use && mountpoint_.is_mounted()) return socket_->answer(client, HolderVerdict::kRefused, already_mounted_);
  if (state_ == State::kMounted || successor_) return socket_->answer(client, HolderVerdict::kBusy, "");
  const ImageFiles& image = server_->descriptors().image;
  const std::array descriptors{image.meta.get(), image.data.get(), image.buffers.get(), lock_.fd()};
  successor_ = client;
  socket_->answer(client, HolderVerdict::kDone, "", descriptors, true);
}

std::string_view Holder::why_not_replaceable() const {
  if (state_ != State::kMounted) return "there is no server: it is not mounted";
  if (upgrade_) return "an upgrade is under way already";
  if (reload_) return "a reload is under way already";
  if (server_->pid() == 0 || !server_->is_ready() || is_stopping_ || is_leaving_)
    return "the server does not serve just now";
  return {};
}

void Holder::begin_upgrade(HolderSocket::ClientId client) {
  std::string_view why = why_not_replaceable();
  if (why.empty()) why = start_upgrade();
  if (!why.empty()) return socket_->answer(client, HolderVerdict::kRefused, why);
  upgrade_->client = client;
}

// The newer program is asked before the old server stops, which then leaves at a request boundary. Returns why not.
std::string_view Holder::start_upgrade() {
  if (const std::string_view why = program_->probe(); !why.empty()) return why;
  upgrade_ = Upgrade{};
  server_->give_order(ServerOrder::kPark);
  park_by_ = now() + kParkMax;
  return {};
}

// A server has ended that was to leave, or the new one has that was to serve instead: then the old program goes on.
void Holder::go_on_with_upgrade(ServerEnd end) {
  program_->take_candidate();
  server_->set_program(program_->fd());
  if (upgrade_->has_new_program) {
    const std::string_view why = server_->sentence();
    end_upgrade(HolderVerdict::kRefused, why.empty() ? "the new server has crashed; the old one goes on" : why);
  } else {
    upgrade_->has_new_program = true;
  }
  note_restart(end);
  start_server();
}

void Holder::end_upgrade(HolderVerdict verdict, std::string_view sentence) {
  if (upgrade_->client && socket_->has(*upgrade_->client)) socket_->answer(*upgrade_->client, verdict, sentence);
  if (verdict == HolderVerdict::kDone) log(LogLevel::kInfo, "the server is that of " + program_->path() + " now");
  if (verdict != HolderVerdict::kDone && !reload_) log(LogLevel::kWarning, sentence);
  upgrade_.reset();
  if (!reload_) return;
  if (verdict == HolderVerdict::kDone) return order_reload();
  end_reload(verdict, sentence);
}

// In a process of its own, which answers the client itself.
void Holder::start_check(HolderSocket::ClientId client) {
  if (state_ == State::kMounted) return socket_->answer(client, HolderVerdict::kRefused, already_mounted_);
  if (checker_ != 0) return socket_->answer(client, HolderVerdict::kRefused, "a check is under way already");
  const pid_t child = ::fork();
  if (child == 0) become_checker(client);
  if (child < 0) return socket_->answer(client, HolderVerdict::kRefused, "cannot start a process");
  checker_ = child;
  socket_->hang_up(client);
}

void Holder::become_checker(HolderSocket::ClientId client) {
  socket_->answer(client, HolderVerdict::kDone, "", {}, true);
  ::dup2(socket_->client_fd(client), STDOUT_FILENO);
  const ImageFiles& image = server_->descriptors().image;
  std::vector<std::string> arguments = server_arguments(options_);
  arguments.insert(arguments.begin(), {"ztmpfs", format_image_argument(kCheckArgument, image)});
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  exec_program(program_->fd(), pointers.data(), std::array{image.meta.get(), image.data.get(), image.buffers.get()});
  ::_exit(EXIT_FAILURE);
}

void Holder::forget(HolderSocket::ClientId client) {
  if (successor_ && !socket_->has(*successor_)) successor_.reset();
  if (state_ == State::kMounted) return socket_->answer(client, HolderVerdict::kRefused, already_mounted_);
  if (successor_) return socket_->answer(client, HolderVerdict::kRefused, "it is being mounted again");
  socket_->answer(client, HolderVerdict::kDone, "");
  exit_code_ = EXIT_SUCCESS;
}

}  // namespace ztmpfs
