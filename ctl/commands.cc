#include "ctl/commands.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <chrono>
#include <cstdlib>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/holder_client.h"
#include "ctl/control_client.h"
#include "ctl/estimate_command.h"
#include "ctl/figures.h"
#include "ctl/metrics_text.h"
#include "ctl/printable.h"
#include "ctl/stats_text.h"
#include "ctl/text_table.h"
#include "ctl/top_command.h"

namespace ztmpfs {

namespace {

namespace json = boost::json;

constexpr std::chrono::seconds kPatience{30};
constexpr std::chrono::seconds kCheckPatience{600};    // it reads every record
constexpr std::chrono::seconds kReclaimPatience{600};  // it may move everything
constexpr unsigned kBadRequest = 400;
constexpr std::chrono::seconds kListPatience{1};
constexpr int kTries = 5;
constexpr std::chrono::seconds kHolderPatience{60};  // an upgrade waits for two servers

// A server that is replaced while it answers takes the connection with it; a question may be asked again.
ControlAnswer patient_request(const MountInfo& mount, const std::string& method, const char* path,
                              std::chrono::seconds patience, const std::string& request) {
  for (int tries_left = method == "GET" ? kTries : 1;; --tries_left) {
    try {
      return control_request(mount.socket_path, method, path, patience, request);
    } catch (const NotServed&) {
      throw;
    } catch (const std::exception&) {
      if (tries_left == 1) throw;
    }
  }
}

// What the holder says to it, if that is no refusal.
HolderAnswer ask_holder(const HolderClient& holder, const MountInfo& mount, HolderRequest request,
                        std::chrono::seconds patience = kHolderPatience) {
  auto answer = holder.is_connected() ? holder.ask(request, patience) : std::nullopt;
  if (!answer) throw std::runtime_error(mount.name + ": its holder has ended");
  if (answer->verdict != HolderVerdict::kDone) throw std::runtime_error(mount.name + ": " + answer->text);
  return std::move(*answer);
}

// The body of a successful answer.
std::string ask(const MountInfo& mount, const char* method, const char* path, std::chrono::seconds patience,
                const std::string& request = "") {
  if (!mount.is_mounted())
    throw std::runtime_error(mount.name + " is not mounted: its contents are kept until it is mounted again, or " +
                             "forgotten (ztmpfsctl forget " + mount.name + ")");
  ControlAnswer answer = patient_request(mount, method, path, patience, request);
  if (answer.status == 200) return std::move(answer.body);
  std::string reason = "HTTP status " + std::to_string(answer.status);
  boost::system::error_code error;
  const json::value body = json::parse(answer.body, error);
  if (!error && body.is_object() && body.as_object().contains("error"))
    reason = json::value_to<std::string>(body.at("error"));
  if (answer.status == kBadRequest) throw CtlUsageError(mount.name + ": " + reason);
  throw std::runtime_error(mount.name + ": " + reason);
}

void list_as_json(const CommandContext& context) {
  json::array list;
  for (const MountInfo& mount : context.mounts)
    list.push_back(json::object{{"name", mount.name},
                                {"mountpoint", mount.is_mounted() ? json::value(mount.mountpoint) : json::value()},
                                {"server_pid", mount.server_pid != 0 ? json::value(mount.server_pid) : json::value()},
                                {"holder_pid", mount.holder_pid},
                                {"state", mount.state}});
  context.out << json::serialize(list) << "\n";
}

// Memory used, its limit, contents and their ratio; dashes for what has no server that answers at once.
std::vector<std::string> memory_cells(const MountInfo& mount) {
  try {
    if (!mount.is_mounted()) return {"-", "-", "-", "-"};
    const ControlAnswer answer = control_request(mount.socket_path, "GET", "/v1/stats", kListPatience);
    const json::object stats = json::parse(answer.body).as_object();
    const auto number = [&](std::string_view key) { return stats.at(key).to_number<uint64_t>(); };
    return {format_bytes(number("mem_used_total")), format_bytes(number("mem_limit")),
            format_bytes(number("orig_data_size")), ratio(number("orig_data_size"), number("mem_used_total"))};
  } catch (const std::exception&) {
    return {"-", "-", "-", "-"};
  }
}

int run_list(const CommandContext& context) {
  if (context.as_json) {
    list_as_json(context);
    return EXIT_SUCCESS;
  }
  using enum TextTable::Align;
  TextTable table({kLeft, kRight, kRight, kRight, kRight, kRight, kRight, kLeft});
  table.add({"NAME", "USED", "SIZE", "CONTENTS", "RATIO", "SERVER PID", "HOLDER PID", "MOUNTPOINT"}, Tone::kBold);
  for (const MountInfo& mount : context.mounts) {
    std::vector<std::string> row = memory_cells(mount);
    row.insert(row.begin(), mount.name);
    row.push_back(mount.server_pid != 0 ? std::to_string(mount.server_pid) : "-");
    row.push_back(std::to_string(mount.holder_pid));
    row.push_back(mount.is_mounted() ? printable(mount.mountpoint) : "(" + mount.state + ")");
    table.add(std::move(row), mount.is_mounted() ? Tone::kPlain : Tone::kWarning);
  }
  context.out << table.text(0, context.surroundings.has_colours);
  return EXIT_SUCCESS;
}

int run_stats(const CommandContext& context) {
  const std::string stats = ask(choose_mount(context.mounts, context.target), "GET", "/v1/stats", kPatience);
  context.out << (context.as_json ? stats : stats_text(stats, context.surroundings.has_colours));
  return EXIT_SUCCESS;
}

// Of one mount, or of all of them: whoever collects metrics does not know the names.
int run_metrics(const CommandContext& context) {
  if (!context.target.empty()) {
    context.out << ask(choose_mount(context.mounts, context.target), "GET", "/metrics", kPatience);
    return EXIT_SUCCESS;
  }
  std::vector<std::string> texts;
  std::string failure;  // of one mount must not hide the others
  for (const MountInfo& mount : context.mounts) {
    if (!mount.is_mounted()) continue;
    try {
      texts.push_back(ask(mount, "GET", "/metrics", kPatience));
    } catch (const NotServed&) {
      continue;  // it has ended meanwhile
    } catch (const std::exception& error) {
      failure = error.what();
    }
  }
  context.out << merge_metrics(texts);
  if (!failure.empty()) throw std::runtime_error(failure);
  return EXIT_SUCCESS;
}

// What is not mounted is audited by a process that its holder starts.
std::string check_contents(const MountInfo& mount) {
  const HolderClient holder(mount.holder_socket_path);
  ask_holder(holder, mount, HolderRequest::kCheck);
  std::string answer = holder.read_rest();
  if (answer.empty()) throw std::runtime_error(mount.name + ": the check has crashed");
  return answer;
}

int run_check(const CommandContext& context) {
  const MountInfo& mount = choose_mount(context.mounts, context.target);
  const std::string answer =
      mount.is_mounted() ? ask(mount, "POST", "/v1/check", kCheckPatience) : check_contents(mount);
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

int run_compact(const CommandContext& context) {
  const MountInfo& mount = choose_mount(context.mounts, context.target);
  const std::string answer = ask(mount, "POST", "/v1/compact", kReclaimPatience);
  if (context.as_json) {
    context.out << answer;
    return EXIT_SUCCESS;
  }
  const json::object result = json::parse(answer).as_object();
  context.out << mount.name << ": " << format_bytes(result.at("bytes_freed").to_number<uint64_t>()) << " freed ("
              << result.at("pages_freed").to_number<uint64_t>() << " pages), "
              << format_bytes(result.at("bytes_moved").to_number<uint64_t>()) << " moved"
              << (result.at("stuck").as_bool() ? "; more is in use just now" : "") << "\n";
  return EXIT_SUCCESS;
}

int run_shrink(const CommandContext& context) {
  const auto target = parse_bytes(context.argument, 0);
  if (!target || *target == 0)
    throw CtlUsageError("shrink: BYTES is '" + context.argument + "', but must be a size such as 64M");
  const MountInfo& mount = choose_mount(context.mounts, context.target);
  const std::string answer =
      ask(mount, "POST", "/v1/shrink", kReclaimPatience, json::serialize(json::object{{"bytes", *target}}));
  if (context.as_json) {
    context.out << answer;
    return EXIT_SUCCESS;
  }
  const json::object result = json::parse(answer).as_object();
  const auto freed = result.at("freed").to_number<uint64_t>();
  const json::array& parts = result.at("shrinkers").as_array();
  const bool is_stuck = std::ranges::any_of(parts, [](const json::value& part) { return part.at("stuck").as_bool(); });
  context.out << mount.name << ": " << format_bytes(freed) << " freed of " << format_bytes(*target)
              << (freed >= *target || is_stuck ? "" : ": there is no more to free") << "\n";
  for (const json::value& part : parts)
    context.out << "  " << part.at("shrinker").as_string().c_str() << ": "
                << format_bytes(part.at("freed").to_number<uint64_t>())
                << (part.at("stuck").as_bool() ? " (more is in use just now)" : "") << "\n";
  return EXIT_SUCCESS;
}

int run_set(const CommandContext& context) {
  const size_t equals = context.argument.find('=');
  if (equals == std::string::npos || equals == 0)
    throw CtlUsageError("set: '" + context.argument + "' is not of the form KEY=VALUE");
  const MountInfo& mount = choose_mount(context.mounts, context.target);
  const json::object change{{context.argument.substr(0, equals), context.argument.substr(equals + 1)}};
  const std::string answer = ask(mount, "POST", "/v1/set", kReclaimPatience, json::serialize(change));
  if (context.as_json) {
    context.out << answer;
    return EXIT_SUCCESS;
  }
  const json::object values = json::parse(answer).as_object();
  const std::string psi = values.at("psi").as_string().c_str();
  context.out << mount.name << ": size " << format_bytes(values.at("size").to_number<uint64_t>()) << ", hot "
              << format_bytes(values.at("hot").to_number<uint64_t>()) << ", psi " << (psi.empty() ? "default" : psi)
              << "\n";
  return EXIT_SUCCESS;
}

int run_upgrade(const CommandContext& context) {
  const MountInfo& mount = choose_mount(context.mounts, context.target);
  ask_holder(HolderClient(mount.holder_socket_path), mount, HolderRequest::kUpgrade);
  if (!context.as_json) context.out << mount.name << ": the program that is installed now serves it\n";
  return EXIT_SUCCESS;
}

int run_reload(const CommandContext& context) {
  const MountInfo& mount = choose_mount(context.mounts, context.target);
  const HolderClient holder(mount.holder_socket_path);
  const std::string warnings = ask_holder(holder, mount, HolderRequest::kReload, kReclaimPatience).text;
  if (context.as_json)
    context.out << json::serialize(json::object{{"warnings", warnings}}) << "\n";
  else
    context.out << mount.name << ": the configuration is in effect" << (warnings.empty() ? "" : ", but for this: ")
                << warnings << "\n";
  return EXIT_SUCCESS;
}

int run_forget(const CommandContext& context) {
  if (context.target.empty()) throw CtlUsageError("forget: NAME is missing");
  const MountInfo& mount = choose_mount(context.mounts, context.target);
  ask_holder(HolderClient(mount.holder_socket_path), mount, HolderRequest::kForget);
  if (!context.as_json) context.out << mount.name << ": forgotten\n";
  return EXIT_SUCCESS;
}

}  // namespace

const std::vector<Command>& commands() {
  static const std::vector<Command> list{
      {"list", "the mounts of this user, with their processes", run_list, false},
      {"stats", "memory, contents, ratios and requests of a mount", run_stats},
      {"metrics", "the figures of a mount, or of all mounts, in Prometheus' text format", run_metrics},
      {"top", "memory, requests per second, pressure and fragmentation of a mount, live", run_top, true, "",
       top_options()},
      {"compact", "move partly filled spans together and give back what that frees", run_compact},
      {"shrink", "give back about BYTES (K, M, G) of memory, cheapest first", run_shrink, true, "BYTES"},
      {"set", "change size, hot or psi of a mount in use", run_set, true, "KEY=VALUE"},
      {"upgrade", "have the program that is installed now serve a mount, without interruption", run_upgrade},
      {"reload", "apply the configuration, and the program, as they are now, without interruption", run_reload},
      {"forget", "free what keep has kept of a mount that has ended", run_forget},
      {"check", "audit every invariant of a mount; exit status 1 if one is broken", run_check},
      {"estimate", "what trees would take in a mount: ratios by codec and block size, memory", run_estimate, false,
       "PATH...", estimate_options(), false},
  };
  return list;
}

std::span<const CommandOption> general_options() {
  static constexpr std::array kOptions{
      CommandOption{"--json", "", "", "for programs: the daemon's answer as it is"},
      CommandOption{"--help", "-h", "", "this text"},
      CommandOption{"--version", "-V", "", "the version"},
  };
  return kOptions;
}

}  // namespace ztmpfs
