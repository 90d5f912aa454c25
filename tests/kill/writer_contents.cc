// Operations on the contents of files.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "tests/kill/writer.h"

namespace ztmpfs {

namespace {

constexpr size_t kFileMax = 3'000'000;
// What all files of a writer may hold: the model holds it too.
constexpr size_t kAllMax = 48'000'000;

}  // namespace

void Writer::put(Node& node, size_t offset, std::string_view data) {
  if (data.empty()) return;
  if (node.data.size() < offset + data.size()) node.data.resize(offset + data.size());
  std::ranges::copy(data, node.data.begin() + std::ptrdiff_t(offset));
  node.touch_contents();
}

void Writer::resize(Node& node, size_t size) {
  node.data.resize(size);
  node.touch_contents();
}

void Writer::clear(Node& node, size_t offset, size_t length) {
  const size_t end = std::min(offset + length, node.data.size());
  for (size_t i = offset; i < end; ++i) node.data[i] = '\0';
  node.touch_contents();
}

void Writer::write_somewhere() {
  Handle* handle = any_handle([](const Handle& open) { return open.can_write && !open.appends; });
  if (handle == nullptr) return;
  Node& node = *handle->node;
  const size_t offset = any_offset(node.data.size() + 1);
  const std::string data = bytes(std::min(any_length(), kFileMax - std::min(offset, kFileMax)));
  describe("ino {} at {} {} bytes", node.ino, offset, data.size());
  const auto written = expect(::pwrite(handle->fd.get(), data.data(), data.size(), off_t(offset)));
  if (size_t(written) != data.size()) throw Mismatch(fmt::format("{} bytes written of {}", written, data.size()));
  put(node, offset, data);
}

void Writer::write_beyond_end() {
  Handle* handle = any_handle([](const Handle& open) { return open.can_write && !open.appends; });
  if (handle == nullptr || handle->node->data.size() > kFileMax / 2) return;
  Node& node = *handle->node;
  const size_t offset = node.data.size() + any_length();
  const std::string data = bytes(1 + random_.below(random_.chance(80) ? 5000 : 70'000));
  describe("ino {} at {} {} bytes, end was {}", node.ino, offset, data.size(), node.data.size());
  const auto written = expect(::pwrite(handle->fd.get(), data.data(), data.size(), off_t(offset)));
  if (size_t(written) != data.size()) throw Mismatch(fmt::format("{} bytes written of {}", written, data.size()));
  put(node, offset, data);
}

// A write that is carried out twice shows here.
void Writer::append() {
  Handle* handle = any_handle([](const Handle& open) { return open.can_write && open.appends; });
  if (handle == nullptr || handle->node->data.size() > kFileMax / 2) return;
  Node& node = *handle->node;
  const std::string data = bytes(any_length());
  describe("ino {} {} bytes to {}", node.ino, data.size(), node.data.size());
  const auto written = expect(::write(handle->fd.get(), data.data(), data.size()));
  if (size_t(written) != data.size()) throw Mismatch(fmt::format("{} bytes written of {}", written, data.size()));
  put(node, node.data.size(), data);
}

void Writer::truncate_file() {
  const bool by_path = random_.chance(40);
  const Entry entry = by_path ? any_entry([](const Node& node) { return node.is(Node::Kind::kFile); }) : Entry{};
  Handle* handle = by_path ? nullptr : any_handle([](const Handle& open) { return open.can_write; });
  if (!entry.node && handle == nullptr) return;
  Node& node = handle != nullptr ? *handle->node : *entry.node;
  size_t size = random_.chance(20) ? 0 : any_offset(node.data.size() + 1);
  if (random_.chance(25) && node.data.size() < kFileMax) size = node.data.size() + any_length();
  describe("ino {} {} from {} to {}", node.ino, by_path ? "by name" : "open", node.data.size(), size);
  expect(by_path ? ::truncate(entry.path().c_str(), off_t(size)) : ::ftruncate(handle->fd.get(), off_t(size)));
  resize(node, size);
}

void Writer::allocate() {
  Handle* handle = any_handle([](const Handle& open) { return open.can_write; });
  if (handle == nullptr || handle->node->data.size() > kFileMax) return;
  Node& node = *handle->node;
  const size_t offset = any_offset(node.data.size() + 50'000);
  const size_t length = std::min<size_t>(any_length(), 300'000);
  const bool keeps_size = random_.chance(40);
  describe("ino {} at {} {} bytes keeps size {}, size {}", node.ino, offset, length, keeps_size, node.data.size());
  expect(::fallocate(handle->fd.get(), keeps_size ? FALLOC_FL_KEEP_SIZE : 0, off_t(offset), off_t(length)));
  node.touch_contents();
  if (!keeps_size && offset + length > node.data.size()) resize(node, offset + length);
}

void Writer::punch() {
  Handle* handle = any_handle([](const Handle& open) { return open.can_write; });
  if (handle == nullptr) return;
  Node& node = *handle->node;
  const size_t offset = any_offset(node.data.size() + 1);
  const size_t length = any_length();
  const bool zeroes = features_.zero_range && random_.chance(40);
  const bool keeps_size = !zeroes || random_.chance(50);
  describe("ino {} at {} {} bytes zeroes {} keeps size {}, size {}", node.ino, offset, length, zeroes, keeps_size,
           node.data.size());
  const int mode = (zeroes ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE) | (keeps_size ? FALLOC_FL_KEEP_SIZE : 0);
  expect(::fallocate(handle->fd.get(), mode, off_t(offset), off_t(length)));
  if (!keeps_size && offset + length > node.data.size()) resize(node, offset + length);
  clear(node, offset, length);
}

void Writer::copy_range() {
  Handle* from = any_handle([](const Handle& open) { return open.can_read; });
  Handle* to = any_handle([](const Handle& open) { return open.can_write && !open.appends; });
  if (from == nullptr || to == nullptr || from->node->data.empty()) return;
  const size_t source = any_offset(from->node->data.size());
  const size_t target = random_.chance(30) ? source : any_offset(to->node->data.size() + 1);
  size_t length = std::min(any_length(), from->node->data.size() - source);
  // Within one file the ranges must not overlap.
  const bool overlaps = from->node == to->node && source < target + length && target < source + length;
  if (overlaps || target + length > kFileMax) return;
  describe("ino {} at {} to ino {} at {} {} bytes", from->node->ino, source, to->node->ino, target, length);
  const std::string data = from->node->data.substr(source, length);
  for (size_t done = 0; done < length;) {
    off_t source_offset = off_t(source + done);
    off_t target_offset = off_t(target + done);
    const auto count =
        expect(::copy_file_range(from->fd.get(), &source_offset, to->fd.get(), &target_offset, length - done, 0));
    if (count == 0 || size_t(count) > length - done) throw Mismatch(fmt::format("{} bytes copied", count));
    put(*to->node, target + done, std::string_view(data).substr(done, size_t(count)));
    done += size_t(count);
  }
}

void Writer::read_somewhere() {
  Handle* handle = any_handle([](const Handle& open) { return open.can_read; });
  if (handle == nullptr) return;
  const size_t offset = any_offset(handle->node->data.size() + 2);
  const size_t length = any_length();
  describe("ino {} at {} {} bytes", handle->node->ino, offset, length);
  compare_range(*handle, offset, length);
}

void Writer::read_whole() {
  const Entry entry = any_entry([](const Node& node) { return node.is(Node::Kind::kFile); });
  if (!entry.node) return;
  describe("{} {} bytes", entry.path(), entry.node->data.size());
  compare_file(entry.path(), entry.node);
}

// What is called a hole must read as zeros; of pages that are still to be written back nobody else knows.
void Writer::seek_data() {
  Handle* handle = any_handle([](const Handle& open) { return open.can_read; });
  if (handle == nullptr || handle->node->data.empty() || handle->node->has_dirty_pages) return;
  const std::string& data = handle->node->data;
  const size_t offset = any_offset(data.size());
  describe("ino {} at {} of {}", handle->node->ino, offset, data.size());
  const off_t found = ::lseek(handle->fd.get(), off_t(offset), SEEK_DATA);
  if (found < 0) expect(found, ENXIO);
  const size_t end = found < 0 ? data.size() : size_t(found);
  if (end < offset || end > data.size()) throw Mismatch(fmt::format("data at {}", end));
  const size_t first = data.find_first_not_of('\0', offset);
  if (first != std::string::npos && first < end)
    throw Mismatch(fmt::format("a hole from {} to {}, but there are data at {}", offset, end, first));
}

void Writer::close_handle() {
  size_t all = 0;
  for (const Handle& handle : handles_) all += handle.node->names == 0 ? handle.node->data.size() : 0;
  for (const Entry& entry : entries([](const Node& node) { return node.is(Node::Kind::kFile); }))
    all += entry.node->data.size();
  if (!handles_.empty()) {
    const size_t index = random_.below(handles_.size());
    describe("ino {}, {} names", handles_[index].node->ino, handles_[index].node->names);
    drop(index);
  }
  if (all <= kAllMax) return;
  const Entry largest = std::ranges::max(entries([](const Node& node) { return node.is(Node::Kind::kFile); }), {},
                                         [](const Entry& entry) { return entry.node->data.size(); });
  describe(", and {} is removed", largest.path());
  expect(::unlink(largest.path().c_str()));
  remove_name(*largest.directory, largest.name);
}

}  // namespace ztmpfs
