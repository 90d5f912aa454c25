#include "tests/posix/trace.h"

#include <string.h>

#include <fmt/format.h>
#include <algorithm>

namespace ztmpfs {

void Trace::add_result(std::string_view label, int64_t result, int error) {
  if (result >= 0) return add(label, result);
  const char* name = ::strerrorname_np(error);
  add(label, name != nullptr ? std::string(name) : std::to_string(error));
}

std::vector<Difference> differences(std::string_view operation, const Trace& ours, const Trace& reference) {
  static const Trace::Field kNone{"", "(none)"};
  std::vector<Difference> found;
  const size_t count = std::max(ours.fields().size(), reference.fields().size());
  for (size_t i = 0; i < count; ++i) {
    const auto& left = i < ours.fields().size() ? ours.fields()[i] : kNone;
    const auto& right = i < reference.fields().size() ? reference.fields()[i] : kNone;
    const std::string& label = left.label.empty() ? right.label : left.label;
    if (left.label != right.label) {
      found.push_back({operation, label, left.label + ": " + left.value, right.label + ": " + right.value});
      return found;  // what follows belongs to other fields
    }
    if (left.value != right.value) found.push_back({operation, label, left.value, right.value});
  }
  return found;
}

size_t first_difference(std::string_view left, std::string_view right) {
  return size_t(std::ranges::mismatch(left, right).in1 - left.begin());
}

std::string printable(std::string_view value, size_t at) {
  constexpr size_t kShown = 160;
  const size_t begin = value.size() <= kShown ? 0 : std::min(at - std::min<size_t>(at, 16), value.size());
  std::string text = begin == 0 ? "" : fmt::format("...[{}] ", begin);
  for (const char byte : value.substr(begin, kShown)) {
    const bool is_plain = byte >= ' ' && byte <= '~';
    text += is_plain ? std::string(1, byte) : fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  }
  if (value.size() > begin + kShown) text += fmt::format("... ({} bytes)", value.size());
  return text;
}

}  // namespace ztmpfs
