#include "ctl/live_view.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include "ctl/figures.h"
#include "ctl/progress_bar.h"

namespace ztmpfs {

namespace {

namespace json = boost::json;
using Lines = std::vector<StyledLine>;

constexpr size_t kLabelWidth = 11;
constexpr size_t kBarWidth = 26;
constexpr size_t kSideBySide = 100;  // columns from which requests and classes have place beside each other
constexpr double kNearlyFull = 0.85;
constexpr double kFull = 0.95;

uint64_t number(const json::object& stats, std::string_view key) { return stats.at(key).to_number<uint64_t>(); }

std::string bytes(const json::object& stats, std::string_view key) { return format_bytes(number(stats, key)); }

double share(uint64_t part, uint64_t whole) { return whole == 0 ? 0 : double(part) / double(whole); }

std::string fixed(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

std::string right(const std::string& text, size_t width) {
  return std::string(width > text.size() ? width - text.size() : 0, ' ') + text;
}

StyledLine labelled(std::string_view label) { return std::move(StyledLine(label, Tone::kBold).pad(kLabelWidth)); }

Tone tone_of(double fill) {
  if (fill >= kFull) return Tone::kBad;
  return fill >= kNearlyFull ? Tone::kWarning : Tone::kGood;
}

void add_head(Lines& lines, const LiveFigures& figures) {
  const json::object& stats = figures.stats;
  StyledLine line(stats.at("name").as_string().c_str(), Tone::kBold);
  line.add(" on ").add(stats.at("mountpoint").as_string().c_str());
  line.add(", up " + duration_text(number(stats, "uptime_seconds")) + ", ");
  const uint64_t restarts = number(stats, "server_restarts");
  line.add(counted(restarts, "server restart"), restarts == 0 ? Tone::kPlain : Tone::kWarning);
  if (figures.server_restarts != 0) line.add(" (just now)", Tone::kBad);
  lines.push_back(std::move(line));
}

void add_memory(Lines& lines, const json::object& stats) {
  const double fill = share(number(stats, "mem_used_total"), number(stats, "mem_limit"));
  lines.push_back(labelled("memory")
                      .add(bar(fill, kBarWidth), tone_of(fill))
                      .add(" " + bytes(stats, "mem_used_total") + " of " + bytes(stats, "mem_limit") + " (" +
                           percent(number(stats, "mem_used_total"), number(stats, "mem_limit")) + "), at most " +
                           bytes(stats, "mem_used_max")));
  lines.push_back(
      labelled("hot queue")
          .add(bar(share(number(stats, "hot_bytes"), number(stats, "hot_limit")), kBarWidth))
          .add(" " + bytes(stats, "hot_bytes") + " of " + bytes(stats, "hot_limit") + " not compressed yet"));
  const uint64_t contents = number(stats, "orig_data_size");
  lines.push_back(labelled("contents")
                      .add(format_bytes(contents) + " in " + counted(number(stats, "files"), "file") + ", " +
                           counted(number(stats, "directories"), "directory") + "; ratio ")
                      .add(ratio(contents, number(stats, "mem_used_total")), Tone::kBold)
                      .add(" to memory, " + ratio(contents, number(stats, "pool_payload_bytes")) + " to bytes stored"));
  lines.push_back(labelled("blocks").add(
      "compressed to " + bytes(stats, "compr_data_size") + ", " + counted(number(stats, "same_pages"), "block") +
      " same-filled, " + std::to_string(number(stats, "huge_pages")) + " huge, " + bytes(stats, "hot_bytes") + " hot"));
  lines.push_back(labelled("pool").add(bytes(stats, "pool_payload_bytes") + " in " + bytes(stats, "pool_span_bytes") +
                                       " of spans, compaction would free " + bytes(stats, "compact_freeable_bytes") +
                                       "; free spans " + bytes(stats, "free_span_bytes") + ", tables " +
                                       bytes(stats, "metadata_bytes")));
}

void add_pressure(Lines& lines, const LiveFigures& figures) {
  const json::object& psi = figures.stats.at("psi").as_object();
  StyledLine line = labelled("pressure").add(counted(number(psi, "events"), "event"));
  if (figures.psi_events != 0) line.add(" (" + std::to_string(figures.psi_events) + " just now)", Tone::kWarning);
  if (const json::value& last = psi.at("last_event"); last.is_object())
    line.add(", the last " + duration_text(uint64_t(last.at("seconds_ago").to_number<double>())) +
             " ago: " + last.at("level").as_string().c_str() + " of " + last.at("path").as_string().c_str());
  lines.push_back(std::move(line));
}

void add_reclaim(Lines& lines, const LiveFigures& figures) {
  const json::object& reclaim = figures.stats.at("reclaim").as_object();
  StyledLine line = labelled("reclaim").add(counted(number(reclaim, "runs"), "run") + ", " +
                                            std::to_string(number(reclaim, "stuck_runs")) + " stuck");
  if (figures.reclaim_runs != 0)
    line.add(
        " (just now " + std::to_string(figures.reclaim_runs) + ", " + format_bytes(figures.reclaim_freed) + " freed)",
        Tone::kWarning);
  std::string freed;
  for (const auto& [shrinker, amount] : reclaim.at("freed").as_object())
    freed += (freed.empty() ? "; freed " : ", ") + format_bytes(amount.to_number<uint64_t>()) + " by " +
             std::string(shrinker);
  lines.push_back(line.add(freed));
  if (const json::value& last = reclaim.at("last"); last.is_object())
    lines.push_back(labelled("").add("the last run: " + std::string(last.at("cause").as_string()) + ", " +
                                     last.at("level").as_string().c_str() + ", " +
                                     format_bytes(last.at("freed").to_number<uint64_t>()) + " freed in " +
                                     std::to_string(last.at("milliseconds").to_number<uint64_t>()) + " ms"));
}

Lines request_lines(const LiveFigures& figures) {
  constexpr size_t kOpcodeWidth = 18;
  constexpr size_t kRateWidth = 12;
  constexpr size_t kRateBarWidth = 14;
  Lines lines{StyledLine("requests", Tone::kBold)
                  .pad(kLabelWidth)
                  .add(figures.seconds == 0
                           ? "counting"
                           : fixed(figures.requests_per_second) + "/s, in the last " + fixed(figures.seconds) + " s")};
  for (const auto& [opcode, rate] : figures.requests)
    lines.push_back(StyledLine("  " + opcode)
                        .pad(kOpcodeWidth)
                        .add(right(fixed(rate) + "/s", kRateWidth) + " ")
                        .add(bar(rate / figures.requests_per_second, kRateBarWidth)));
  return lines;
}

// Of classes whose spans are shared, those first in which most memory is free; a run of whole pages has no other
// object.
Lines class_lines(const json::object& stats) {
  constexpr size_t kSizeWidth = 8;
  constexpr size_t kClassBarWidth = 18;
  std::vector<const json::object*> classes;
  for (const json::value& value : stats.at("classes").as_array()) {
    const json::object& one = value.as_object();
    if (number(one, "objects_allocated") != 0 && number(one, "objects_per_span") != 1) classes.push_back(&one);
  }
  const auto free_bytes = [](const json::object* one) {
    return (number(*one, "objects_allocated") - number(*one, "objects_used")) * number(*one, "object_size");
  };
  std::ranges::sort(classes, std::ranges::greater{},
                    [&](const json::object* one) { return std::pair(free_bytes(one), number(*one, "object_size")); });
  Lines lines{StyledLine("classes", Tone::kBold).pad(kLabelWidth).add("objects used of allocated, by size in bytes")};
  for (const json::object* one : classes) {
    const double fill = share(number(*one, "objects_used"), number(*one, "objects_allocated"));
    lines.push_back(StyledLine(right(std::to_string(number(*one, "object_size")), kSizeWidth) + " ")
                        .add(bar(fill, kClassBarWidth), fill < 0.5 ? Tone::kWarning : Tone::kGood)
                        .add(" " + std::to_string(number(*one, "objects_used")) + " of " +
                             std::to_string(number(*one, "objects_allocated")) + ", " + format_bytes(free_bytes(one)) +
                             " free"));
  }
  return lines;
}

void add_beside(Lines& lines, const Lines& left, const Lines& right_side, const ViewSize& size) {
  const size_t column = size.columns / 2;
  for (size_t i = 0; i < std::max(left.size(), right_side.size()); ++i) {
    StyledLine line = i < left.size() ? left[i] : StyledLine();
    if (i < right_side.size()) line.pad(column).add(right_side[i]);
    lines.push_back(std::move(line));
  }
}

// The requests get what the classes do not need, and half of the room in any case.
void add_below(Lines& lines, Lines above, Lines below, const ViewSize& size) {
  const size_t room = size.rows > lines.size() + 1 ? size.rows - lines.size() - 1 : 0;
  const size_t kept = std::max(room / 2, room > below.size() ? room - below.size() : 0);
  if (above.size() > kept) above.resize(kept);
  std::ranges::move(above, std::back_inserter(lines));
  lines.emplace_back();
  std::ranges::move(below, std::back_inserter(lines));
}

}  // namespace

std::vector<StyledLine> live_view(const LiveFigures& figures, const ViewSize& size) {
  Lines lines;
  add_head(lines, figures);
  add_memory(lines, figures.stats);
  add_pressure(lines, figures);
  add_reclaim(lines, figures);
  lines.emplace_back();
  if (size.columns >= kSideBySide) {
    add_beside(lines, request_lines(figures), class_lines(figures.stats), size);
  } else {
    add_below(lines, request_lines(figures), class_lines(figures.stats), size);
  }
  if (lines.size() > size.rows) lines.resize(size.rows);
  return lines;
}

}  // namespace ztmpfs
