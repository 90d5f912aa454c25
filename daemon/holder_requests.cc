// What the holder is asked for (base/holder_client.h), also when there is no server.
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>

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
    case HolderRequest::kUpgrade:
    case HolderRequest::kCheck: break;
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
  const int length = std::snprintf(
      space.data(), space.size(),
      R"({"name":"%s","state":"%s","mountpoint":%s,"server_pid":%s,"holder_pid":%d,"server_restarts":%llu,"oom_kills":%llu})",
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

void Holder::forget(HolderSocket::ClientId client) {
  if (successor_ && !socket_->has(*successor_)) successor_.reset();
  if (state_ == State::kMounted) return socket_->answer(client, HolderVerdict::kRefused, already_mounted_);
  if (successor_) return socket_->answer(client, HolderVerdict::kRefused, "it is being mounted again");
  socket_->answer(client, HolderVerdict::kDone, "");
  exit_code_ = EXIT_SUCCESS;
}

}  // namespace ztmpfs
