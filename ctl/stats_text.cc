#include "ctl/stats_text.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstdint>
#include <sstream>
#include <string_view>

#include "base/bytes.h"
#include "ctl/figures.h"
#include "ctl/printable.h"
#include "ctl/text_table.h"

namespace ztmpfs {

namespace {

namespace json = boost::json;

constexpr size_t kLabelWidth = 19;
constexpr size_t kTableIndent = 4;

uint64_t number(const json::object& stats, std::string_view key) { return stats.at(key).to_number<uint64_t>(); }

std::string bytes(const json::object& stats, std::string_view key) { return format_bytes(number(stats, key)); }

// Where the text goes, and whether there it may have colours.
struct Page {
  std::ostream& out;
  bool has_colours;
};

void line(const Page& page, std::string_view label, const std::string& text, Tone tone = Tone::kPlain) {
  const std::string blanks(kLabelWidth - std::min(label.size(), kLabelWidth), ' ');
  page.out << "  " << paint(label, tone == Tone::kPlain ? Tone::kBold : tone, page.has_colours) << blanks
           << paint(text, tone, page.has_colours) << "\n";
}

// The number of columns that hold numbers, behind one for names.
TextTable table_of_numbers() { return TextTable({TextTable::Align::kLeft, TextTable::Align::kRight}); }

void describe_memory(const Page& page, const json::object& stats) {
  const uint64_t used = number(stats, "mem_used_total");
  line(page, "memory used",
       format_bytes(used) + " of " + bytes(stats, "mem_limit") + " (" + percent(used, number(stats, "mem_limit")) +
           "), at most " + bytes(stats, "mem_used_max"));
  line(page, "", "the kernel's page cache of the files is not in it");
  line(page, "hot blocks",
       bytes(stats, "hot_bytes") + " of at most " + bytes(stats, "hot_limit") + ", not compressed yet");
  if (number(stats, "reserved_bytes") != 0)
    line(page, "reserved", bytes(stats, "reserved_bytes") + " promised by fallocate, not in use");
  line(page, "tables", bytes(stats, "metadata_bytes"));
  line(page, "free spans", bytes(stats, "free_span_bytes") + " kept for the next writes");
}

void describe_contents(const Page& page, const json::object& stats) {
  const uint64_t contents = number(stats, "orig_data_size");
  const uint64_t payload = number(stats, "pool_payload_bytes");
  const uint64_t spans = number(stats, "pool_span_bytes");
  line(page, "contents",
       format_bytes(contents) + " in " + std::to_string(number(stats, "files")) + " files and " +
           std::to_string(number(stats, "directories")) + " directories");
  line(page, "ratio",
       ratio(contents, number(stats, "mem_used_total")) + " contents to memory used, " + ratio(contents, payload) +
           " contents to bytes stored");
  line(page, "compressed",
       bytes(stats, "compr_data_size") + "; " + std::to_string(number(stats, "same_pages")) + " blocks of one word, " +
           std::to_string(number(stats, "huge_pages")) + " that do not compress");
  line(page, "pool",
       format_bytes(payload) + " stored in " + format_bytes(spans) + " (" + percent(payload, spans) +
           "), compaction would free " + bytes(stats, "compact_freeable_bytes"));
  if (const uint64_t failures = number(stats, "checksum_failures"); failures != 0)
    line(page, "DAMAGED", std::to_string(failures) + " reads met a wrong checksum", Tone::kBad);
  if (const uint64_t failures = number(stats, "write_back_failures"); failures != 0)
    line(page, "LOST", std::to_string(failures) + " writes through shared mappings found no memory", Tone::kBad);
}

std::string when(const json::value& seconds) {
  if (seconds.is_null()) return "no event yet";
  return "last event " + duration_text(uint64_t(seconds.to_number<double>())) + " ago";
}

void describe_pressure(const Page& page, const json::object& stats) {
  const json::object& psi = stats.at("psi").as_object();
  const json::array& sources = psi.at("sources").as_array();
  if (sources.empty()) line(page, "pressure", "not watched");
  std::string_view label = "pressure";
  for (const json::value& source : sources) {
    const std::string trigger = source.at("trigger").as_string().c_str();
    line(page, label,
         std::string(source.at("path").as_string()) + ", " + source.at("level").as_string().c_str() + ": " +
             source.at("state").as_string().c_str() + (trigger.empty() ? "" : " (" + trigger + ")") + ", " +
             std::to_string(source.at("events").to_number<uint64_t>()) + " events, " +
             when(source.at("seconds_since_event")));
    label = "";
  }
}

void describe_reclaim(const Page& page, const json::object& stats) {
  const json::object& reclaim = stats.at("reclaim").as_object();
  line(page, "reclaim",
       std::to_string(number(reclaim, "runs")) + " runs, " + std::to_string(number(reclaim, "stuck_runs")) +
           " of them stuck; " + std::to_string(number(stats, "pages_compacted")) + " pages freed by compaction");
  std::string freed;
  for (const auto& [shrinker, amount] : reclaim.at("freed").as_object())
    freed += (freed.empty() ? "" : ", ") + std::string(shrinker) + " " + format_bytes(amount.to_number<uint64_t>());
  if (!freed.empty()) line(page, "", "freed so far: " + freed);
}

void describe_requests(const Page& page, const json::object& stats) {
  TextTable table = table_of_numbers();
  table.add({"requests", "answered"}, Tone::kBold);
  for (const auto& [opcode, count] : stats.at("requests").as_object())
    table.add({"  " + std::string(opcode), std::to_string(count.to_number<uint64_t>())});
  table.add({"  forgets", std::to_string(number(stats, "forgets"))});
  page.out << table.text(2, page.has_colours);
}

// Classes that hold something; runs of whole pages cannot be fragmented and are one line.
void describe_classes(const Page& page, const json::object& stats) {
  TextTable table({TextTable::Align::kRight});
  table.add({"object size", "memory", "objects", "allocated", "used", "freeable"}, Tone::kBold);
  Bytes runs = 0;
  for (const json::value& value : stats.at("classes").as_array()) {
    const json::object& one = value.as_object();
    const uint64_t used = number(one, "objects_used");
    const uint64_t allocated = number(one, "objects_allocated");
    if (allocated == 0) continue;
    if (number(one, "objects_per_span") == 1) {
      runs += number(one, "pages_used") * kPageSize;
    } else {
      table.add({std::to_string(number(one, "object_size")) + " B", format_bytes(number(one, "pages_used") * kPageSize),
                 std::to_string(used), std::to_string(allocated), percent(used, allocated),
                 format_bytes(number(one, "pages_freeable") * kPageSize)});
    }
  }
  table.add({"whole pages", format_bytes(runs)});
  page.out << "  " << paint("classes", Tone::kBold, page.has_colours) << "\n"
           << table.text(kTableIndent, page.has_colours);
}

}  // namespace

std::string stats_text(const std::string& stats_json, bool has_colours) {
  const json::object stats = json::parse(stats_json).as_object();
  std::ostringstream out;
  const Page page{out, has_colours};
  out << paint(stats.at("name").as_string().c_str(), Tone::kBold, has_colours) << " on "
      << printable(stats.at("mountpoint").as_string().c_str()) << ", up "
      << duration_text(number(stats, "uptime_seconds")) << "\n";
  describe_memory(page, stats);
  describe_contents(page, stats);
  describe_pressure(page, stats);
  describe_reclaim(page, stats);
  describe_requests(page, stats);
  describe_classes(page, stats);
  return out.str();
}

}  // namespace ztmpfs
