// Directories that are read in small steps while they change.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "tests/kill/writer.h"

namespace ztmpfs {

namespace {

constexpr size_t kWalksMax = 3;

unsigned char type_of(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kFile: return DT_REG;
    case Node::Kind::kDirectory: return DT_DIR;
    case Node::Kind::kSymlink: return DT_LNK;
    case Node::Kind::kFifo: return DT_FIFO;
    case Node::Kind::kWhiteout: return DT_CHR;
  }
  return DT_UNKNOWN;
}

}  // namespace

void Writer::start_walk() {
  if (!features_.walks) return;
  // The fullest, or any.
  const auto directories = entries([](const Node& node) { return node.is_directory(); });
  Node* directory = &any_directory();
  for (const Entry& entry : directories)
    if (random_.chance(70) && entry.node->children.size() > directory->children.size()) directory = entry.node.get();
  describe("{} {} names", directory->path(), directory->children.size());
  auto walk = std::make_unique<Walk>();
  walk->fd = int(expect(::open(directory->path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  for (const Entry& entry : directories)
    if (entry.node.get() == directory) walk->directory = entry.node;
  if (directory == own_.get()) walk->directory = own_;
  if (directory == shared_.get()) walk->directory = shared_;
  directory->walks.push_back(walk.get());
  walks_.push_back(std::move(walk));
  if (walks_.size() > kWalksMax) end_walk(random_.below(kWalksMax));
}

void Writer::end_walk(size_t index) {
  Walk* walk = walks_[index].get();
  std::erase(walk->directory->walks, walk);
  ::close(walk->fd);
  walks_.erase(walks_.begin() + std::ptrdiff_t(index));
}

void Writer::go_on_walking() {
  if (walks_.empty()) return;
  const size_t index = random_.below(walks_.size());
  Walk& walk = *walks_[index];
  Node& directory = *walk.directory;
  describe("ino {} after {} names", directory.ino, walk.seen.size());
  alignas(8) std::array<char, 4096> buffer{};
  const size_t room = random_.chance(50) ? 512 : 4096;
  forget_listing(walk.fd);
  const auto length = ::getdents64(walk.fd, buffer.data(), room);
  if (directory.names == 0) {
    // The kernel says so of what was removed.
    expect(length, ENOENT);
    return end_walk(index);
  }
  expect(length);
  const std::string prefix = directory.is_shared ? fmt::format("w{}_", number_) : "";
  for (long at = 0; at < length;) {
    const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
    at += entry->d_reclen;
    const std::string name = entry->d_name;
    const bool is_ours = name != "." && name != ".." && name.starts_with(prefix);
    if (is_ours) (walk.is_second ? walk.seen_again : walk.seen).push_back(name);
    const auto child = directory.children.find(name);
    if (is_ours && child != directory.children.end() && !walk.touched.contains(name) &&
        (entry->d_ino != child->second->ino || entry->d_type != type_of(*child->second)))
      throw Mismatch(fmt::format("{} is listed as inode {} of type {}", name, entry->d_ino, entry->d_type));
    if (!walk.is_second && walk.mark < 0 && random_.chance(2)) {
      walk.mark = entry->d_off;
      walk.mark_index = walk.seen.size();
    }
  }
  if (length == 0) {
    finish_walk(walk);
    if (walk.mark < 0 || walk.is_second) return end_walk(index);
    walk.is_second = true;
    expect(::lseek(walk.fd, walk.mark, SEEK_SET));
  }
}

// Each name that was there all the time has come once, and the second time the same come after the mark.
void Writer::finish_walk(Walk& walk) {
  const auto untouched = [&](std::vector<std::string> names) {
    std::erase_if(names, [&](const std::string& name) { return walk.touched.contains(name); });
    return names;
  };
  std::vector<std::string> expected;
  for (const auto& [name, node] : walk.directory->children) expected.push_back(name);
  expected = untouched(expected);
  auto seen = untouched(walk.seen);
  std::ranges::sort(seen);
  if (seen != expected)
    throw Mismatch(fmt::format("{} names that were there all the time, {} listed", expected.size(), seen.size()));
  if (!walk.is_second) return;
  const auto again = untouched(walk.seen_again);
  const auto before = untouched({walk.seen.begin() + std::ptrdiff_t(walk.mark_index), walk.seen.end()});
  if (again != before)
    throw Mismatch(fmt::format("{} names after a mark, {} the second time", before.size(), again.size()));
}

}  // namespace ztmpfs
