// A mount's configuration is read again: on SIGHUP, and when asked (base/holder_client.h).
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "daemon/holder.h"

namespace ztmpfs {

// A program that was installed meanwhile goes first: it may know more options. If it cannot serve, nothing is reloaded.
void Holder::begin_reload(std::optional<HolderSocket::ClientId> client) {
  const std::string_view why = why_not_replaceable();
  if (!why.empty() && client) socket_->answer(*client, HolderVerdict::kRefused, why);
  if (!why.empty() && !client) log(LogLevel::kWarning, why);
  if (!why.empty()) return;
  is_ready_due_ = false;  // what the one before is owed, this one pays
  is_reloading_due_ = true;
  tell_manager();
  reload_ = Reload{.client = client};
  reload_wait_.begin(now());
  if (!program_->is_replaced()) return order_reload();
  if (const std::string_view refusal = start_upgrade(); !refusal.empty()) end_reload(HolderVerdict::kRefused, refusal);
}

void Holder::order_reload() {
  reload_->is_ordered = true;
  reload_wait_.order();
  server_->give_order(ServerOrder::kReload);
}

// The task of the server may hang, and the next reload must not be refused for ever.
void Holder::look_for_late_reload() {
  if (!reload_ || now() < *reload_wait_.by()) return;
  end_reload(HolderVerdict::kRefused, "the server has not answered for minutes: its limits may change yet");
}

// What went wrong is said once: to who has asked, and else in the log.
void Holder::end_reload(HolderVerdict verdict, std::string_view sentence) {
  if (reload_->client && socket_->has(*reload_->client)) {
    socket_->answer(*reload_->client, verdict, sentence);
  } else if (!sentence.empty()) {
    log(LogLevel::kWarning, sentence);
  }
  if (verdict == HolderVerdict::kDone) log(LogLevel::kInfo, "the configuration has been read again");
  reload_.reset();
  reload_wait_.end();
  is_ready_due_ = true;
  tell_manager();
}

void Holder::set_status(std::string_view text) {
  status_length_ = std::min(text.size(), status_.size());
  std::copy_n(text.begin(), status_length_, status_.begin());
}

void Holder::show_status(std::string_view text) {
  set_status(text);
  is_status_due_ = true;
  tell_manager();
}

// A manager that is too busy is told again (wait_for_event()), in this order: a READY=1 before the RELOADING=1 that it
// answers would leave the manager waiting for another one.
void Holder::tell_manager() {
  const std::string_view status(status_.data(), status_length_);
  if (is_reloading_due_) is_reloading_due_ = !service_.reloading();
  if (is_ready_due_ && !is_reloading_due_) {
    is_ready_due_ = !service_.ready(::getpid(), status);
    if (!is_ready_due_) is_status_due_ = false;
  }
  if (is_status_due_) is_status_due_ = !service_.status(status);
}

void Holder::take_news(ServerNews news, std::string_view text) {
  if (news == ServerNews::kStatus) {
    show_status(text);
  } else if (reload_wait_.take_answer() && reload_->is_ordered) {
    end_reload(news == ServerNews::kReloaded ? HolderVerdict::kDone : HolderVerdict::kRefused, text);
  }
}

}  // namespace ztmpfs
