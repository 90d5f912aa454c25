#include "tests/crash/workload.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <utility>

#include "fs/filesystem.h"

namespace ztmpfs {

namespace {

constexpr uint64_t kRoot = 1;
constexpr size_t kEntriesMax = 60;
constexpr size_t kUnnamedMax = 8;
constexpr uint32_t kListMin = 512;  // an entry with the longest name

}  // namespace

Workload::Workload(FakeKernel& kernel, uint64_t seed, std::string directory)
    : kernel_(kernel), caller_(kernel), seed_(seed), random_(seed), root_name_(std::move(directory)) {}

Workload::~Workload() = default;

void Workload::begin() {
  root_ = std::make_shared<Node>();
  root_->mode = S_IFDIR | 0755;
  root_->nlink = 2;
  root_->ino = succeed(caller_.mkdir(kRoot, root_name_, 0755), "mkdir of the own directory").nodeid;
}

void Workload::step() {
  static constexpr std::array<std::pair<uint32_t, void (Workload::*)()>, 19> kOperations{{
      {14, &Workload::create_file},  {5, &Workload::make_directory},    {3, &Workload::make_symlink},
      {4, &Workload::make_link},     {3, &Workload::make_unnamed_file}, {28, &Workload::write_file},
      {12, &Workload::read_file},    {6, &Workload::truncate_file},     {3, &Workload::allocate_file},
      {4, &Workload::punch_file},    {4, &Workload::copy_file},         {4, &Workload::change_attributes},
      {8, &Workload::change_xattrs}, {9, &Workload::remove_file},       {3, &Workload::remove_directory},
      {9, &Workload::rename},        {5, &Workload::list_directory},    {5, &Workload::forget_some},
      {4, &Workload::make_mistake},
  }};
  uint32_t total = 0;
  for (const auto& [weight, operation] : kOperations) total += weight;
  auto choice = uint32_t(below(total));
  ++operations_;
  for (const auto& [weight, operation] : kOperations) {
    if (choice < weight) return (this->*operation)();
    choice -= weight;
  }
}

void Workload::create_file() {
  std::vector<Place> places;
  collect(root_, places);
  if (places.size() >= kEntriesMax) return remove_file();
  make_file_in(any_directory());
}

void Workload::make_file_in(const NodePtr& directory) {
  const auto node = std::make_shared<Node>();
  const std::string name = fresh_name();
  node->mode = S_IFREG | 0644;
  const uint64_t parent = ino(directory);
  adopt(node, below(2) == 0 ? succeed(caller_.create(parent, name, node->mode, O_RDWR | O_EXCL), "create")
                            : succeed(caller_.mknod(parent, name, node->mode, 0), "mknod"));
  directory->entries[name] = node;
}

void Workload::make_directory() {
  const NodePtr directory = any_directory();
  const auto node = std::make_shared<Node>();
  const std::string name = fresh_name();
  node->mode = S_IFDIR | 0755;
  node->nlink = 2;
  node->parent = directory;
  adopt(node, succeed(caller_.mkdir(ino(directory), name, 0755), "mkdir"));
  directory->entries[name] = node;
  ++directory->nlink;
}

void Workload::make_symlink() {
  const NodePtr directory = any_directory();
  const auto node = std::make_shared<Node>();
  const std::string name = fresh_name();
  node->mode = S_IFLNK | 0777;
  node->target = std::string(1 + below(200), char('a' + below(26)));
  adopt(node, succeed(caller_.symlink(ino(directory), name, node->target), "symlink"));
  directory->entries[name] = node;
}

void Workload::make_link() {
  const Place from = any_entry(false, true);
  if (!from.directory) return;
  const NodePtr node = from.directory->entries.at(from.name);
  const NodePtr directory = any_directory();
  const std::string name = fresh_name();
  const uint64_t parent = ino(directory);
  const uint64_t number = ino(node);
  ++node->nlink;
  adopt(node, succeed(caller_.link(number, parent, name), "link"));
  directory->entries[name] = node;
}

// It gets a name right away, or later ones of its operations find it among those that lost theirs.
void Workload::make_unnamed_file() {
  if (unnamed_.size() >= kUnnamedMax) forget({unnamed_.begin(), unnamed_.end()}, true, true);
  const auto node = std::make_shared<Node>();
  node->mode = S_IFREG | 0600;
  node->nlink = 0;
  const NodePtr directory = any_directory();
  const auto made = caller_.tmpfile(ino(directory), node->mode);
  if (!made && made.error() == std::errc::function_not_supported) return;  // libfuse 3.14
  adopt(node, succeed(made, "tmpfile"));
  if (below(2) == 0) return unnamed_.push_back(node);
  const std::string name = fresh_name();
  node->nlink = 1;
  adopt(node, succeed(caller_.link(node->ino, ino(directory), name), "link of a file without a name"));
  directory->entries[name] = node;
}

void Workload::write_file() {
  const NodePtr node = any_file();
  if (!node) return;
  const size_t offset = below(3) == 0 ? node->content.size() : below(std::max<size_t>(node->content.size(), 1) + 4096);
  if (offset >= kFileMax) return truncate_file();
  const size_t size =
      std::min(below(4) == 0 ? 1 + below(FakeKernel::kTransferMax) : 1 + below(3000), kFileMax - offset);
  const auto data = make_content(size);
  const uint32_t written = succeed(caller_.write(ino(node), offset, data), "write");
  expect(written == size, "a write was cut short");
  if (node->content.size() < offset + size) node->content.resize(offset + size);
  std::ranges::copy(data, node->content.begin() + ptrdiff_t(offset));
}

void Workload::read_file() {
  const NodePtr node = any_file();
  if (!node) return;
  const size_t offset = below(node->content.size() + 100);
  const auto size = uint32_t(1 + below(FakeKernel::kTransferMax));
  const auto data = succeed(caller_.read(ino(node), offset, size), "read");
  const size_t first = std::min(offset, node->content.size());
  const size_t length = std::min<size_t>(size, node->content.size() - first);
  expect(data.size() == length, "a read has the wrong length");
  expect(std::equal(data.begin(), data.end(), node->content.begin() + ptrdiff_t(first)), "a read has the wrong bytes");
}

void Workload::truncate_file() {
  const NodePtr node = any_file();
  if (!node) return;
  const size_t size = below(3) == 0 ? 0 : below(node->content.size() + 50'000);
  const auto attr = succeed(caller_.truncate(ino(node), size), "truncate");
  node->content.resize(size);
  check_attr(*node, attr);
}

void Workload::change_attributes() {
  const NodePtr node = below(3) == 0 ? any_directory() : any_file();
  if (!node || node == root_) return;
  fuse_setattr_in change{};
  change.valid = FATTR_MODE | FATTR_MTIME;
  change.mode = (node->mode & S_IFMT) | uint32_t(below(01000));
  change.mtime = below(1u << 31);
  const auto attr = succeed(caller_.setattr(ino(node), change), "setattr");
  node->mode = change.mode;
  check_attr(*node, attr);
  expect(attr.mtime == change.mtime, "mtime is not what was set");
  expect(succeed(caller_.getattr(ino(node)), "getattr").mtime == change.mtime, "mtime did not stay what was set");
}

// Once in a while with the flag that makes a second execution fail.
void Workload::change_xattrs() {
  const NodePtr node = below(3) == 0 ? any_directory() : any_file();
  if (!node || node == root_) return;
  const std::string name = "user." + std::string(1 + below(30), char('a' + below(4)));
  const bool exists = node->xattrs.contains(name);
  if (exists && below(2) == 0) {
    succeed(caller_.removexattr(ino(node), name), "removexattr");
    node->xattrs.erase(name);
    return;
  }
  const auto content = make_content(below(below(10) == 0 ? 65'537 : 200));
  const std::string value(reinterpret_cast<const char*>(content.data()), content.size());
  succeed(caller_.setxattr(ino(node), name, value, exists ? XATTR_REPLACE : XATTR_CREATE), "setxattr");
  node->xattrs[name] = value;
}

void Workload::remove_file() {
  const Place place = any_entry(false, true);
  if (!place.directory) return;
  succeed(caller_.unlink(ino(place.directory), place.name), "unlink");
  drop_name(place);
}

void Workload::remove_directory() {
  const Place place = any_entry(true, false);
  if (!place.directory) return;
  const NodePtr node = place.directory->entries.at(place.name);
  const auto result = caller_.rmdir(ino(place.directory), place.name);
  if (!node->entries.empty()) {
    expect(!result && result.error() == std::errc::directory_not_empty, "rmdir of a directory with entries");
    return;
  }
  succeed(result, "rmdir");
  drop_name(place);
}

void Workload::rename() {
  const Place from = any_entry(below(3) == 0, true);
  if (!from.directory) return;
  const NodePtr node = from.directory->entries.at(from.name);
  Place to{any_directory(), fresh_name()};
  if (below(3) == 0) to = any_entry(node->is_directory(), !node->is_directory());
  if (!to.directory || to.directory == node || (node->is_directory() && is_below(to.directory, node))) return;
  const auto target_entry = to.directory->entries.find(to.name);
  const NodePtr target = target_entry == to.directory->entries.end() ? nullptr : target_entry->second;
  if (target && (target->is_directory() && is_below(from.directory, target))) return;
  const uint64_t old_parent = ino(from.directory);
  const bool leaves_whiteout = below(4) == 0;
  const uint32_t flags = leaves_whiteout ? FileSystem::kRenameWhiteout : 0;
  const auto result = caller_.rename(old_parent, from.name, ino(to.directory), to.name, flags);
  if (target == node) return static_cast<void>(succeed(result, "rename of a file to another name of its own"));
  if (target && target->is_directory() != node->is_directory())
    return expect(!result, "rename over an entry of another type");
  if (target && !target->entries.empty())
    return expect(!result && result.error() == std::errc::directory_not_empty, "rename over a directory with entries");
  succeed(result, "rename");
  if (target) drop_name(to);
  from.directory->entries.erase(from.name);
  to.directory->entries[to.name] = node;
  if (leaves_whiteout) adopt_whiteout(from);
  if (!node->is_directory()) return;
  --from.directory->nlink;
  ++to.directory->nlink;
  node->parent = to.directory;
}

void Workload::adopt_whiteout(const Place& place) {
  const auto node = std::make_shared<Node>();
  node->mode = S_IFCHR;
  const auto entry = succeed(caller_.lookup(ino(place.directory), place.name), "lookup of a whiteout");
  expect(entry.attr.rdev == 0, "a whiteout is another device");
  adopt(node, entry);
  place.directory->entries[place.name] = node;
}

void Workload::list_directory() { verify_directory(any_directory()); }

// FORGET of one node, or BATCH_FORGET of several; files without a name are gone with that.
void Workload::forget_some() {
  std::vector<Place> places;
  collect(root_, places);
  std::vector<NodePtr> nodes;
  const bool batch = below(2) == 0;
  for (size_t i = 0; i < (batch ? 5u : 1u); ++i) {
    if (below(2) == 0 && !unnamed_.empty()) {
      nodes.push_back(unnamed_[below(unnamed_.size())]);
    } else if (!places.empty()) {
      const Place& place = places[below(places.size())];
      nodes.push_back(place.directory->entries.at(place.name));
    }
  }
  forget(nodes, batch, below(2) == 0);
}

// What fails now would succeed a moment later, when the name is there: it must not be executed then.
void Workload::make_mistake() {
  const NodePtr directory = any_directory();
  const uint64_t parent = ino(directory);
  const Place existing = any_entry(true, true);
  switch (below(4)) {
    case 0:
      expect(caller_.unlink(parent, next_name_).error() == std::errc::no_such_file_or_directory, "unlink of nothing");
      make_file_in(directory);
      break;
    case 1:
      expect(caller_.lookup(parent, next_name_).error() == std::errc::no_such_file_or_directory, "lookup of nothing");
      make_file_in(directory);
      break;
    case 2:
      if (!existing.directory) break;
      expect(caller_.mkdir(ino(existing.directory), existing.name, 0755).error() == std::errc::file_exists,
             "mkdir of what is there");
      break;
    default:
      expect(caller_.rename(parent, next_name_, parent, "other").error() == std::errc::no_such_file_or_directory,
             "rename of nothing");
      make_file_in(directory);
  }
}

Workload::NodePtr Workload::any_directory() {
  const Place place = below(4) == 0 ? Place{} : any_entry(true, false);
  return place.directory ? place.directory->entries.at(place.name) : root_;
}

Workload::NodePtr Workload::any_file() {
  if (!unnamed_.empty() && below(5) == 0) {
    const NodePtr node = unnamed_[below(unnamed_.size())];
    if (node->is_file()) return node;
  }
  std::vector<Place> places;
  collect(root_, places);
  std::erase_if(places, [](const Place& place) { return !place.directory->entries.at(place.name)->is_file(); });
  if (places.empty()) return nullptr;
  const Place& place = places[below(places.size())];
  return place.directory->entries.at(place.name);
}

Workload::Place Workload::any_entry(bool directories, bool others) {
  std::vector<Place> places;
  collect(root_, places);
  std::erase_if(places, [&](const Place& place) {
    return place.directory->entries.at(place.name)->is_directory() ? !directories : !others;
  });
  return places.empty() ? Place{} : places[below(places.size())];
}

std::string Workload::fresh_name() {
  const std::string number = std::to_string(names_made_++);
  return std::exchange(next_name_, number + std::string(below(10) == 0 ? below(250) : below(20), 'n'));
}

// What compresses well, badly, not at all, and to one word.
std::vector<std::byte> Workload::make_content(size_t size) {
  std::vector<std::byte> content(size);
  const uint64_t kind = below(4);
  uint64_t word = random_();
  for (size_t i = 0; i < size; ++i) {
    switch (kind) {
      case 0: content[i] = std::byte(word >> (i % 8 * 8)); break;
      case 1: content[i] = std::byte("the quick brown fox jumps over the lazy dog "[(i + word) % 44]); break;
      default:
        if (i % 8 == 0) word = kind == 2 || i % 64 == 0 ? random_() : word;
        content[i] = std::byte(word >> (i % 8 * 8));
    }
  }
  return content;
}

void Workload::expect(bool holds, const std::string& what) const {
  if (!holds)
    throw std::runtime_error(what + " (seed " + std::to_string(seed_) + ", operation " + std::to_string(operations_) +
                             ")");
}

// Looks a forgotten node up again, from a directory that has it.
uint64_t Workload::ino(const NodePtr& node) {
  if (node->is_known) return node->ino;
  std::vector<Place> places;
  collect(root_, places);
  for (const Place& place : places) {
    if (place.directory->entries.at(place.name) != node) continue;
    // The protocol lets the kernel use a directory it knows from elsewhere; its number stays the same.
    const auto entry = succeed(caller_.lookup(place.directory->ino, place.name), "lookup");
    adopt(node, entry);
    return node->ino;
  }
  expect(false, "the model has lost a node");
  return 0;
}

void Workload::adopt(const NodePtr& node, const fuse_entry_out& entry) {
  expect(node->ino == 0 || node->ino == entry.nodeid, "a node has got another number");
  node->ino = entry.nodeid;
  node->is_known = true;
  check_attr(*node, entry.attr);
}

void Workload::check_attr(const Node& node, const fuse_attr& attr) const {
  expect(attr.ino == node.ino, "an attribute's number is " + std::to_string(attr.ino));
  expect(attr.mode == node.mode, "mode is " + std::to_string(attr.mode));
  expect(attr.nlink == node.nlink, "nlink is " + std::to_string(attr.nlink) + ", not " + std::to_string(node.nlink));
  if (node.is_file()) expect(attr.size == node.content.size(), "size is " + std::to_string(attr.size));
}

void Workload::drop_name(const Place& place) {
  const NodePtr node = place.directory->entries.at(place.name);
  place.directory->entries.erase(place.name);
  if (node->is_directory()) {
    --place.directory->nlink;
    node->nlink = 0;
  } else {
    --node->nlink;
  }
  if (node->nlink == 0 && node->is_known) unnamed_.push_back(node);
  if (unnamed_.size() > kUnnamedMax) forget({unnamed_.begin(), unnamed_.end()}, true, true);
}

// If not all, then all lookups but one.
void Workload::forget(const std::vector<NodePtr>& nodes, bool batch, bool all) {
  std::vector<fuse_forget_one> items;
  for (const NodePtr& node : nodes) {
    const uint64_t lookups = node->is_known ? kernel_.lookups_of(node->ino) : 0;
    const auto is_there = [&](const fuse_forget_one& item) { return item.nodeid == node->ino; };
    if (lookups <= (all ? 0 : 1) || std::ranges::any_of(items, is_there)) continue;
    items.push_back({.nodeid = node->ino, .nlookup = all ? lookups : lookups - 1});
    if (!all) continue;
    node->is_known = false;
    std::erase(unnamed_, node);
  }
  if (!items.empty()) kernel_.forget(items, batch);
}

void Workload::verify() {
  std::vector<Place> places;
  collect(root_, places);
  verify_directory(root_);
  for (const Place& place : places) verify_node(place.directory->entries.at(place.name));
  for (const NodePtr& node : unnamed_) verify_node(node);
}

void Workload::verify_node(const NodePtr& node) {
  check_attr(*node, succeed(caller_.getattr(ino(node)), "getattr"));
  std::string names;
  for (const auto& [name, value] : node->xattrs) {
    expect(succeed(caller_.getxattr(ino(node), name), "getxattr") == value, "an xattr differs");
    names += name + '\0';
  }
  expect(succeed(caller_.listxattr(ino(node)), "listxattr") == names, "the names of the xattrs differ");
  if (node->is_directory()) verify_directory(node);
  if (S_ISLNK(node->mode))
    expect(succeed(caller_.readlink(ino(node)), "readlink") == node->target, "a symlink differs");
  if (!node->is_file()) return;
  for (size_t offset = 0; offset <= node->content.size(); offset += FakeKernel::kTransferMax) {
    const auto data = succeed(caller_.read(ino(node), offset, FakeKernel::kTransferMax), "read");
    const size_t length = std::min(FakeKernel::kTransferMax, node->content.size() - offset);
    expect(data.size() == length, "a file has the wrong length");
    expect(std::equal(data.begin(), data.end(), node->content.begin() + ptrdiff_t(offset)),
           "a file has the wrong bytes");
  }
}

void Workload::verify_directory(const NodePtr& node) {
  const bool plus = below(2) == 0;
  const auto entries = succeed(caller_.list(ino(node), plus, kListMin + uint32_t(below(4000))), "readdir");
  std::map<std::string, uint64_t> told;
  for (const auto& entry : entries) expect(told.emplace(entry.name, entry.ino).second, "an entry is told twice");
  for (const auto& [name, number] : told)
    expect(node->entries.contains(name), "an entry is told that is not there: " + name + (plus ? " (plus)" : ""));
  for (const auto& [name, child] : node->entries) {
    const auto found = told.find(name);
    expect(found != told.end(), "an entry is missing: " + name);
    expect(found->second == child->ino, "an entry names another file: " + name);
    if (plus) child->is_known = true;  // each entry counts as a lookup
  }
}

bool Workload::is_below(const NodePtr& node, const NodePtr& ancestor) {
  for (NodePtr at = node; at; at = at->parent.lock())
    if (at == ancestor) return true;
  return false;
}

void Workload::collect(const NodePtr& directory, std::vector<Place>& places) const {
  for (const auto& [name, node] : directory->entries) {
    places.push_back({directory, name});
    if (node->is_directory()) collect(node, places);
  }
}

void Workload::clear_directory(const NodePtr& node) {
  const uint64_t parent = ino(node);
  while (!node->entries.empty()) {
    const auto [name, child] = *node->entries.begin();
    if (child->is_directory()) {
      clear_directory(child);
      succeed(caller_.rmdir(parent, name), "rmdir");
    } else {
      succeed(caller_.unlink(parent, name), "unlink");
    }
    drop_name({node, name});
  }
}

void Workload::clear() {
  clear_directory(root_);
  succeed(caller_.rmdir(kRoot, root_name_), "rmdir of the own directory");
  unnamed_.push_back(root_);
  forget({unnamed_.begin(), unnamed_.end()}, true, true);
}

}  // namespace ztmpfs
