#include "daemon/prometheus_text.h"

#include <algorithm>

#include "daemon/metrics.h"

namespace ztmpfs {

namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

// The length of the UTF-8 character that `text` begins with; 0 if it begins with none (RFC 3629: no overlong forms, no
// surrogates, nothing above U+10FFFF).
size_t character_length(std::string_view text) {
  const auto byte = [&](size_t at) { return at < text.size() ? uint8_t(text[at]) : 0U; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  for (size_t at = 1; at < length; ++at)
    if ((byte(at) & 0xc0) != 0x80) return 0;
  const bool is_overlong = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xf0 && byte(1) < 0x90);
  const bool is_no_character = (first == 0xed && byte(1) >= 0xa0) || (first == 0xf4 && byte(1) >= 0x90);
  return is_overlong || is_no_character ? 0 : length;
}

void append_value(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const size_t length = character_length(text);
    if (text.front() == '\\' || text.front() == '"') {
      out += '\\';
      out += text.front();
    } else if (text.front() == '\n') {
      out += "\\n";
    } else {
      out += length == 0 ? kReplacement : text.substr(0, length);
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
}

void append_sample(std::string& out, std::string_view name, const std::string& mount, const MetricSample& sample) {
  out += name;
  out += sample.suffix;
  out += "{mount=\"";
  append_value(out, mount);
  out += '"';
  for (const MetricLabel& label : sample.labels) {
    out += ',';
    out += label.name;
    out += "=\"";
    append_value(out, label.value);
    out += '"';
  }
  out += "} ";
  out += format_number(sample.value);
  out += '\n';
}

std::vector<MetricSample> samples_of(const Metric& metric, const ServerInfo& info, const ServerStats& stats) {
  if (metric.scalar != nullptr) return {{.labels = {}, .value = double(metric.scalar(stats)) * metric.scale}};
  return metric.samples(info, stats);
}

}  // namespace

std::string prometheus_text(const ServerInfo& info, const ServerStats& stats) {
  std::string out;
  for (const Metric& metric : metrics()) {
    const auto samples = samples_of(metric, info, stats);
    if (samples.empty()) continue;
    out.append("# HELP ").append(metric.name).append(" ").append(metric.help).append("\n");
    out.append("# TYPE ").append(metric.name).append(" ").append(to_string(metric.type)).append("\n");
    for (const MetricSample& sample : samples) append_sample(out, metric.name, info.name, sample);
  }
  return out;
}

}  // namespace ztmpfs
