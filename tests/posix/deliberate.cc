#include "tests/posix/deliberate.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace ztmpfs {

namespace {

// What lseek(2) may find: an offset, or that there is no data any more.
bool is_place(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return text == "ENXIO" || (error == std::errc() && end == text.data() + text.size());
}

// That what is told is true, the operations check themselves.
bool are_places(std::string_view ours, std::string_view reference) { return is_place(ours) && is_place(reference); }

// The same letters where the reference's clock could tell.
bool is_hidden_by_tick(std::string_view ours, std::string_view reference) {
  return std::ranges::equal(ours, reference, [](char mine, char other) { return mine == other || other == '?'; });
}

bool is_overlooked(std::string_view ours, std::string_view reference) { return ours == "zeros" && reference == "data"; }

bool is_anything(std::string_view, std::string_view) { return true; }

constexpr Deliberate kDifferences[] = {
    {"seek_data", "seek", are_places, "where holes begin and end is up to a file system", "Holes"},
    {"seek_data", "hole", is_overlooked, "tmpfs overlooks data in the last page before the largest offset", "Holes"},
    {"seek_hole", "hole", is_overlooked, "tmpfs overlooks data in the last page before the largest offset", "Holes"},
    {"seek_hole", "seek", are_places, "where holes begin and end is up to a file system", "Holes"},
    {"", ".changed", is_hidden_by_tick, "every change has a time of its own, not that of the last clock tick", "Times"},
    {"", ".fifo.changed", is_anything, "the kernel does not tell us of writing into a FIFO", "FIFOs"},
    {"", ".fifo.times", is_anything, "the kernel does not tell us of writing into a FIFO", "FIFOs"},
    {"", ".fifo.set", is_anything, "the kernel does not tell us of writing into a FIFO", "FIFOs"},
};

}  // namespace

std::span<const Deliberate> deliberate_differences() { return kDifferences; }

const Deliberate* find_deliberate(const Difference& difference) {
  const auto found = std::ranges::find_if(kDifferences, [&](const Deliberate& entry) {
    return (entry.operation.empty() || entry.operation == difference.operation) &&
           difference.label.ends_with(entry.label) && entry.allows(difference.ours, difference.reference);
  });
  return found == std::end(kDifferences) ? nullptr : &*found;
}

}  // namespace ztmpfs
