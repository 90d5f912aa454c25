#include "tests/kill/writer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ztmpfs {

namespace {

constexpr size_t kHistory = 40;
constexpr size_t kNamesMax = 400;
constexpr size_t kHandlesMax = 12;

int64_t monotonic_milliseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace

Features Features::probe(const std::string& directory) {
  Features features;
  const std::string path = directory + "/probe";
  const UniqueFd fd(::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  features.is_root = ::geteuid() == 0;
  features.zero_range = ::fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, 0, 4096) == 0;
  features.xattrs = ::fsetxattr(fd.get(), "user.probe", "x", 1, 0) == 0;
  features.tmpfile = UniqueFd(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)).get() >= 0;
  features.direct_reads = UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC)).get() >= 0;
  ::unlink(path.c_str());
  return features;
}

Writer::Writer(const std::string& top, unsigned number, uint64_t seed, const Features& features)
    : number_(number), features_(features), random_(Random(seed).next() + number) {
  own_ = new_node(Node::Kind::kDirectory, 0755);
  own_->name = fmt::format("{}/w{}", top, number);
  own_->names = 1;
  if (::mkdir(own_->name.c_str(), 0755) != 0) throw std::system_error(errno, std::generic_category(), own_->name);
  shared_ = new_node(Node::Kind::kDirectory, 0777);
  shared_->name = top + "/shared";
  shared_->names = 1;
  shared_->is_shared = true;
  history_.emplace_back();
  for (const NodePointer& directory : {own_, shared_}) adopt_number(directory->name, *directory);
}

Writer::~Writer() {
  while (!handles_.empty()) drop(0);
  while (!walks_.empty()) end_walk(0);
}

const std::vector<Writer::Operation>& Writer::operation_table() {
  static const std::vector<Operation> table = {
      {"create_exclusively", 8, &Writer::create_exclusively},
      {"open_or_create", 8, &Writer::open_or_create},
      {"open_existing", 8, &Writer::open_existing},
      {"make_unnamed", 3, &Writer::make_unnamed},
      {"make_directory", 5, &Writer::make_directory},
      {"make_symlink", 3, &Writer::make_symlink},
      {"make_fifo", 2, &Writer::make_fifo},
      {"make_link", 4, &Writer::make_link},
      {"rename", 12, &Writer::rename_entry},
      {"unlink", 8, &Writer::unlink_entry},
      {"remove_directory", 3, &Writer::remove_directory},
      {"crowd", 1, &Writer::crowd},
      {"remove_tree", 1, &Writer::remove_tree},
      {"write", 16, &Writer::write_somewhere},
      {"write_beyond_end", 4, &Writer::write_beyond_end},
      {"append", 8, &Writer::append},
      {"truncate", 5, &Writer::truncate_file},
      {"allocate", 4, &Writer::allocate},
      {"punch", 4, &Writer::punch},
      {"copy_range", 4, &Writer::copy_range},
      {"read", 20, &Writer::read_somewhere},
      {"read_whole", 6, &Writer::read_whole},
      {"seek_data", 2, &Writer::seek_data},
      {"close", 6, &Writer::close_handle},
      {"map", 4, &Writer::map_file},
      {"write_mapping", 8, &Writer::write_mapping},
      {"synchronize", 3, &Writer::synchronize},
      {"take_lock", 3, &Writer::take_lock},
      {"look_at_lock", 4, &Writer::look_at_lock},
      {"change_attributes", 5, &Writer::change_attributes},
      {"change_xattr", 5, &Writer::change_xattr},
      {"look_at_entry", 10, &Writer::look_at_entry},
      {"look_at_handle", 5, &Writer::look_at_handle},
      {"start_walk", 2, &Writer::start_walk},
      {"go_on_walking", 12, &Writer::go_on_walking},
  };
  return table;
}

void Writer::step() {
  const auto& table = operation_table();
  unsigned sum = 0;
  for (const Operation& operation : table) sum += operation.weight;
  uint64_t dice = random_.below(sum);
  size_t chosen = 0;
  while (dice >= table[chosen].weight) dice -= table[chosen++].weight;
  const Operation& operation = table[chosen];
  history_.push_back(fmt::format("{} {}: ", operations_, operation.name));
  if (history_.size() > kHistory) history_.pop_front();
  progress_.operation = operation.name.data();
  progress_.since = monotonic_milliseconds();
  (this->*operation.run)();
  progress_.since = 0;
  ++operations_;
  ++counts_[operation.name];
}

int64_t Writer::expect(int64_t result, int error) {
  const int seen = result < 0 ? errno : 0;
  if (seen != error)
    throw Mismatch(fmt::format("{} instead of {}", seen == 0 ? "success" : std::strerror(seen),
                               error == 0 ? "success" : std::strerror(error)));
  return result;
}

NodePointer Writer::new_node(Node::Kind kind, mode_t mode) const {
  auto node = std::make_shared<Node>();
  node->kind = kind;
  node->mode = mode;
  node->uid = ::geteuid();
  node->gid = ::getegid();
  return node;
}

void Writer::adopt_number(const std::string& path, Node& node) {
  const struct stat status = status_of(path);
  node.ino = status.st_ino;
  compare_status(status, node, path);
}

void Writer::adopt(int fd, const NodePointer& node, int flags) {
  const struct stat status = status_of(fd);
  node->ino = status.st_ino;
  compare_status(status, *node, "what was made");
  keep(fd, node, flags);
}

void Writer::keep(int fd, const NodePointer& node, int flags) {
  Handle handle;
  handle.fd.reset(fd);
  handle.node = node;
  handle.can_read = (flags & O_ACCMODE) != O_WRONLY;
  handle.can_write = (flags & O_ACCMODE) != O_RDONLY;
  handle.appends = (flags & O_APPEND) != 0;
  handles_.push_back(std::move(handle));
  if (handles_.size() > kHandlesMax) drop(random_.below(handles_.size() - 1));
}

void Writer::drop(size_t index) {
  Handle& handle = handles_[index];
  if (handle.mapping != nullptr) {
    ::munmap(handle.mapping, handle.mapping_length);
    --handle.node->mappings;
  }
  handles_.erase(handles_.begin() + std::ptrdiff_t(index));
}

std::string Writer::new_name(const Node& directory) {
  std::string name = fmt::format("n{}", random_.below(40));
  if (random_.chance(4)) name += std::string(180 + random_.below(60), 'x');
  return directory.is_shared ? fmt::format("w{}_{}", number_, name) : name;
}

std::vector<Entry> Writer::entries(const std::function<bool(const Node&)>& wanted) const {
  std::vector<Entry> found;
  std::vector<Node*> waiting{own_.get(), shared_.get()};
  while (!waiting.empty()) {
    Node* directory = waiting.back();
    waiting.pop_back();
    for (const auto& [name, node] : directory->children) {
      if (wanted(*node)) found.push_back({directory, name, node});
      if (node->is_directory()) waiting.push_back(node.get());
    }
  }
  return found;
}

Entry Writer::any_entry(const std::function<bool(const Node&)>& wanted) {
  const auto found = entries(wanted);
  return found.empty() ? Entry{} : found[random_.below(found.size())];
}

Node& Writer::any_directory() {
  if (random_.chance(25)) return random_.chance(50) ? *own_ : *shared_;
  const Entry entry = any_entry([](const Node& node) { return node.is_directory(); });
  return entry.node ? *entry.node : *own_;
}

Entry Writer::place() {
  Node& directory = any_directory();
  Entry place{&directory, new_name(directory), nullptr};
  const auto child = directory.children.find(place.name);
  if (child != directory.children.end()) place.node = child->second;
  // Enough is enough: what comes now makes nothing new.
  if (!place.node && entries([](const Node&) { return true; }).size() >= kNamesMax) {
    const Entry taken = any_entry([](const Node&) { return true; });
    if (taken.node) return taken;
  }
  return place;
}

Writer::Handle* Writer::any_handle(const std::function<bool(const Handle&)>& wanted) {
  std::vector<Handle*> found;
  for (Handle& handle : handles_)
    if (wanted(handle)) found.push_back(&handle);
  return found.empty() ? nullptr : found[random_.below(found.size())];
}

// Where the edges are: in and between pages and blocks.
size_t Writer::any_offset(size_t limit) {
  if (limit == 0) return 0;
  const size_t offset = random_.below(limit);
  if (random_.chance(30)) return offset & ~size_t(4095);
  if (random_.chance(20)) return offset & ~size_t(32767);
  return offset;
}

size_t Writer::any_length() {
  const uint64_t dice = random_.below(100);
  if (dice < 40) return 1 + random_.below(4096);
  if (dice < 75) return 1 + random_.below(40'000);
  if (dice < 97) return 1 + random_.below(200'000);
  return 1 + random_.below(1'500'000);
}

}  // namespace ztmpfs
