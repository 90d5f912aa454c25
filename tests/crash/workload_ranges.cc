// Operations on ranges of files.
#include <fcntl.h>

#include <algorithm>

#include "tests/crash/workload.h"

namespace ztmpfs {

void Workload::allocate_file() {
  const NodePtr node = any_file();
  if (!node) return;
  const size_t offset = below(kFileMax);
  const size_t length = 1 + below(kFileMax - offset);
  const bool keeps_size = below(3) == 0;
  const bool zeroes = below(4) == 0;
  const uint32_t flags = (keeps_size ? FALLOC_FL_KEEP_SIZE : 0u) | (zeroes ? FALLOC_FL_ZERO_RANGE : 0u);
  succeed(caller_.fallocate(ino(node), flags, offset, length), "fallocate");
  if (!keeps_size && node->content.size() < offset + length) node->content.resize(offset + length);
  const size_t end = std::min(offset + length, node->content.size());
  if (zeroes && offset < end)
    std::fill(node->content.begin() + ptrdiff_t(offset), node->content.begin() + ptrdiff_t(end), std::byte(0));
}

void Workload::punch_file() {
  const NodePtr node = any_file();
  if (!node) return;
  const size_t offset = below(kFileMax);
  const size_t length = 1 + below(below(2) == 0 ? 5000 : kFileMax);
  succeed(caller_.fallocate(ino(node), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length), "punch");
  const size_t end = std::min(offset + length, node->content.size());
  if (offset < end)
    std::fill(node->content.begin() + ptrdiff_t(offset), node->content.begin() + ptrdiff_t(end), std::byte(0));
}

void Workload::copy_file() {
  const NodePtr from = any_file();
  const NodePtr to = any_file();
  if (!from || !to || from == to || from->content.empty()) return;
  // Often where blocks lie alike.
  const size_t grain = below(2) == 0 ? 1 : 32 * 1024;
  const size_t from_offset = below(from->content.size()) / grain * grain;
  const size_t to_offset = below(kFileMax / 2) / grain * grain;
  const size_t length = std::min(1 + below(kFileMax / 2), from->content.size() - from_offset);
  const uint32_t copied = succeed(caller_.copy_file_range(ino(from), from_offset, ino(to), to_offset, length), "copy");
  expect(copied == length, "a copy was cut short");
  if (to->content.size() < to_offset + length) to->content.resize(to_offset + length);
  std::copy_n(from->content.begin() + ptrdiff_t(from_offset), length, to->content.begin() + ptrdiff_t(to_offset));
}

}  // namespace ztmpfs
