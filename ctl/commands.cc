#include "ctl/commands.h"

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <cstdlib>
#include <iomanip>
#include <ostream>
#include <stdexcept>

#include "ctl/control_client.h"
#include "ctl/stats_text.h"

namespace ztmpfs {

namespace {

namespace json = boost::json;

constexpr std::chrono::seconds kPatience{30};
constexpr std::chrono::seconds kCheckPatience{600};  // it reads every record
constexpr int kPidWidth = 12;

// The body of a successful answer.
std::string ask(const MountInfo& mount, const char* method, const char* path, std::chrono::seconds patience) {
  ControlAnswer answer = control_request(mount.socket_path, method, path, patience);
  if (answer.status == 200) return std::move(answer.body);
  std::string reason = "HTTP status " + std::to_string(answer.status);
  boost::system::error_code error;
  const json::value body = json::parse(answer.body, error);
  if (!error && body.is_object() && body.as_object().contains("error"))
    reason = json::value_to<std::string>(body.at("error"));
  throw std::runtime_error(mount.name + ": " + reason);
}

void list_as_json(const CommandContext& context) {
  json::array list;
  for (const MountInfo& mount : context.mounts)
    list.push_back(json::object{{"name", mount.name},
                                {"mountpoint", mount.mountpoint},
                                {"server_pid", mount.server_pid},
                                {"holder_pid", mount.holder_pid}});
  context.out << json::serialize(list) << "\n";
}

int run_list(const CommandContext& context) {
  if (context.as_json) {
    list_as_json(context);
    return EXIT_SUCCESS;
  }
  size_t width = sizeof("NAME");
  for (const MountInfo& mount : context.mounts) width = std::max(width, mount.name.size() + 1);
  const auto row = [&](const auto& name, const auto& server, const auto& holder, const auto& mountpoint) {
    context.out << std::left << std::setw(int(width)) << name << std::setw(kPidWidth) << server << std::setw(kPidWidth)
                << holder << mountpoint << "\n";
  };
  row("NAME", "SERVER PID", "HOLDER PID", "MOUNTPOINT");
  for (const MountInfo& mount : context.mounts) row(mount.name, mount.server_pid, mount.holder_pid, mount.mountpoint);
  return EXIT_SUCCESS;
}

int run_stats(const CommandContext& context) {
  const std::string stats = ask(choose_mount(context.mounts, context.target), "GET", "/v1/stats", kPatience);
  context.out << (context.as_json ? stats : stats_text(stats));
  return EXIT_SUCCESS;
}

int run_check(const CommandContext& context) {
  const MountInfo& mount = choose_mount(context.mounts, context.target);
  const std::string answer = ask(mount, "POST", "/v1/check", kCheckPatience);
  const json::object result = json::parse(answer).as_object();
  const bool is_ok = result.at("ok").as_bool();
  if (context.as_json) {
    context.out << answer;
  } else if (is_ok) {
    context.out << mount.name << ": every invariant holds\n";
  } else {
    for (const json::value& breach : result.at("breaches").as_array())
      context.out << mount.name << ": " << breach.as_string().c_str() << "\n";
  }
  return is_ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

const std::vector<Command>& commands() {
  static const std::vector<Command> list{
      {"list", "the mounts of this user, with their processes", run_list, false},
      {"stats", "memory, contents, ratios and requests of a mount", run_stats},
      {"check", "audit every invariant of a mount; exit status 1 if one is broken", run_check},
  };
  return list;
}

}  // namespace ztmpfs
