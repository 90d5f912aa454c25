#include "ctl/stats_text.h"

#include <boost/json.hpp>
#include <cstdint>
#include <iomanip>
#include <sstream>
#include <string_view>

#include "base/bytes.h"

namespace ztmpfs {

namespace {

namespace json = boost::json;

constexpr int kLabelWidth = 19;
constexpr int kOpcodeWidth = 18;

uint64_t number(const json::object& stats, std::string_view key) { return stats.at(key).to_number<uint64_t>(); }

std::string bytes(const json::object& stats, std::string_view key) { return format_bytes(number(stats, key)); }

std::string ratio(uint64_t whole, uint64_t part) {
  if (part == 0) return "-";
  std::ostringstream text;
  text << std::fixed << std::setprecision(2) << double(whole) / double(part);
  return text.str();
}

std::string percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? "-" : std::to_string(part * 100 / whole) + " %";
}

void line(std::ostream& out, std::string_view label, const std::string& text) {
  out << "  " << std::left << std::setw(kLabelWidth) << label << text << "\n";
}

void describe_memory(std::ostream& out, const json::object& stats) {
  const uint64_t used = number(stats, "mem_used_total");
  line(out, "memory used",
       format_bytes(used) + " of " + bytes(stats, "mem_limit") + " (" + percent(used, number(stats, "mem_limit")) +
           "), at most " + bytes(stats, "mem_used_max"));
  line(out, "", "the kernel's page cache of the files is not in it");
  line(out, "hot blocks",
       bytes(stats, "hot_bytes") + " of at most " + bytes(stats, "hot_limit") + ", not compressed yet");
  if (number(stats, "reserved_bytes") != 0)
    line(out, "reserved", bytes(stats, "reserved_bytes") + " promised by fallocate, not in use");
  line(out, "tables", bytes(stats, "metadata_bytes"));
  line(out, "free spans", bytes(stats, "free_span_bytes") + " kept for the next writes");
}

void describe_contents(std::ostream& out, const json::object& stats) {
  const uint64_t contents = number(stats, "orig_data_size");
  const uint64_t payload = number(stats, "pool_payload_bytes");
  const uint64_t spans = number(stats, "pool_span_bytes");
  line(out, "contents",
       format_bytes(contents) + " in " + std::to_string(number(stats, "files")) + " files and " +
           std::to_string(number(stats, "directories")) + " directories");
  line(out, "ratio",
       ratio(contents, number(stats, "mem_used_total")) + " contents to memory used, " + ratio(contents, payload) +
           " contents to bytes stored");
  line(out, "compressed",
       bytes(stats, "compr_data_size") + "; " + std::to_string(number(stats, "same_pages")) + " blocks of one word, " +
           std::to_string(number(stats, "huge_pages")) + " that do not compress");
  line(out, "pool",
       format_bytes(payload) + " stored in " + format_bytes(spans) + " (" + percent(payload, spans) +
           "), compaction would free " + bytes(stats, "compact_freeable_bytes"));
  if (const uint64_t failures = number(stats, "checksum_failures"); failures != 0)
    line(out, "DAMAGED", std::to_string(failures) + " reads met a wrong checksum");
  if (const uint64_t failures = number(stats, "write_back_failures"); failures != 0)
    line(out, "LOST", std::to_string(failures) + " writes through shared mappings found no memory");
}

std::string when(const json::value& seconds) {
  if (seconds.is_null()) return "no event yet";
  return "last event " + std::to_string(int64_t(seconds.to_number<double>())) + " s ago";
}

void describe_pressure(std::ostream& out, const json::object& stats) {
  const json::object& psi = stats.at("psi").as_object();
  const json::array& sources = psi.at("sources").as_array();
  if (sources.empty()) line(out, "pressure", "not watched");
  std::string_view label = "pressure";
  for (const json::value& source : sources) {
    const std::string trigger = source.at("trigger").as_string().c_str();
    line(out, label,
         std::string(source.at("path").as_string()) + ", " + source.at("level").as_string().c_str() + ": " +
             source.at("state").as_string().c_str() + (trigger.empty() ? "" : " (" + trigger + ")") + ", " +
             std::to_string(source.at("events").to_number<uint64_t>()) + " events, " +
             when(source.at("seconds_since_event")));
    label = "";
  }
}

void describe_reclaim(std::ostream& out, const json::object& stats) {
  const json::object& reclaim = stats.at("reclaim").as_object();
  line(out, "reclaim",
       std::to_string(number(reclaim, "runs")) + " runs, " + std::to_string(number(reclaim, "stuck_runs")) +
           " of them stuck; " + std::to_string(number(stats, "pages_compacted")) + " pages freed by compaction");
  std::string freed;
  for (const auto& [shrinker, amount] : reclaim.at("freed").as_object())
    freed += (freed.empty() ? "" : ", ") + std::string(shrinker) + " " + format_bytes(amount.to_number<uint64_t>());
  if (!freed.empty()) line(out, "", "freed so far: " + freed);
}

// Classes that hold something; runs of whole pages cannot be fragmented and are one line.
void describe_classes(std::ostream& out, const json::object& stats) {
  const auto row = [&](const auto& size, const auto& pages, const auto& used, const auto& allocated,
                       const auto& freeable) {
    out << "    " << std::right << std::setw(6) << size << std::setw(10) << pages << std::setw(12) << used
        << std::setw(12) << allocated << std::setw(12) << freeable << std::left << "\n";
  };
  out << "  classes\n";
  row("size", "pages", "used", "allocated", "freeable");
  uint64_t run_pages = 0;
  for (const json::value& value : stats.at("classes").as_array()) {
    const json::object& one = value.as_object();
    if (number(one, "objects_allocated") == 0) continue;
    if (number(one, "objects_per_span") == 1) {
      run_pages += number(one, "pages_used");
    } else {
      row(number(one, "object_size"), number(one, "pages_used"), number(one, "objects_used"),
          number(one, "objects_allocated"), number(one, "pages_freeable"));
    }
  }
  row("runs", run_pages, "", "", "");
}

}  // namespace

std::string stats_text(const std::string& stats_json) {
  const json::object stats = json::parse(stats_json).as_object();
  std::ostringstream out;
  out << stats.at("name").as_string().c_str() << " on " << stats.at("mountpoint").as_string().c_str() << ", up "
      << number(stats, "uptime_seconds") << " s\n";
  describe_memory(out, stats);
  describe_contents(out, stats);
  describe_pressure(out, stats);
  describe_reclaim(out, stats);
  out << "  requests\n";
  for (const auto& [opcode, count] : stats.at("requests").as_object())
    out << "    " << std::left << std::setw(kOpcodeWidth) << std::string_view(opcode) << count.to_number<uint64_t>()
        << "\n";
  out << "    " << std::left << std::setw(kOpcodeWidth) << "forgets" << number(stats, "forgets") << "\n";
  describe_classes(out, stats);
  return out.str();
}

}  // namespace ztmpfs
