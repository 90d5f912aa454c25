#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/fake_caller.h"

namespace ztmpfs {

/// A client that works in a directory of its own, by a seed, and knows what each answer must be. Keeps a model of its
/// subtree and of what the kernel has forgotten. One thread.
class Workload {
 public:
  Workload(FakeKernel& kernel, uint64_t seed, std::string directory);
  ~Workload();

  /// Makes the directory.
  void begin();
  /// One random operation. Throws std::runtime_error with a sentence if anything differs from the model.
  void step();
  /// Compares the whole subtree with the model: names, attributes, contents; and files without names. As step().
  void verify();
  /// Removes everything and forgets every lookup.
  void clear();

  uint64_t operations() const { return operations_; }

 private:
  static constexpr size_t kFileMax = 300 * 1024;

  struct Node;
  using NodePtr = std::shared_ptr<Node>;
  struct Node {
    uint64_t ino = 0;
    bool is_known = true;  // the kernel has looked it up and not forgotten it
    uint32_t mode = 0;
    uint32_t nlink = 1;
    std::vector<std::byte> content;
    std::string target;
    std::map<std::string, std::string, std::greater<>> xattrs;  // in the order in which they are listed
    std::map<std::string, NodePtr> entries;
    std::weak_ptr<Node> parent;  // of a directory

    bool is_directory() const { return S_ISDIR(mode); }
    bool is_file() const { return S_ISREG(mode); }
  };
  struct Place {
    NodePtr directory;
    std::string name;
  };

  // Operations, by chance.
  void create_file();
  void make_directory();
  void make_symlink();
  void make_link();
  void make_unnamed_file();
  void write_file();
  void read_file();
  void truncate_file();
  void allocate_file();
  void punch_file();
  void copy_file();
  void change_attributes();
  void change_xattrs();
  void remove_file();
  void remove_directory();
  void rename();
  void list_directory();
  void forget_some();
  void make_mistake();

  void make_file_in(const NodePtr& directory);

  // Chance.
  uint64_t below(uint64_t bound) { return random_() % bound; }
  NodePtr any_directory();
  NodePtr any_file();  // null if there is none
  Place any_entry(bool directories, bool others);
  std::string fresh_name();  // never told before
  std::vector<std::byte> make_content(size_t size);

  // The model.
  void expect(bool holds, const std::string& what) const;
  template <class T>
  T succeed(Result<T> result, const char* what) const {
    if (!result) expect(false, std::string(what) + ": " + std::make_error_code(result.error()).message());
    if constexpr (!std::is_void_v<T>) return std::move(*result);
  }
  uint64_t ino(const NodePtr& node);
  void adopt(const NodePtr& node, const fuse_entry_out& entry);
  void check_attr(const Node& node, const fuse_attr& attr) const;
  void adopt_whiteout(const Place& place);
  void drop_name(const Place& place);
  void forget(const std::vector<NodePtr>& nodes, bool batch, bool all);
  void verify_node(const NodePtr& node);
  void verify_directory(const NodePtr& node);
  void clear_directory(const NodePtr& node);
  static bool is_below(const NodePtr& node, const NodePtr& ancestor);
  void collect(const NodePtr& directory, std::vector<Place>& places) const;

  FakeKernel& kernel_;
  FakeCaller caller_;
  const uint64_t seed_;
  std::mt19937_64 random_;
  NodePtr root_;
  std::string root_name_;
  std::vector<NodePtr> unnamed_;  // removed, but still looked up
  uint64_t names_made_ = 0;
  std::string next_name_ = "first";  // what fresh_name() tells next
  uint64_t operations_ = 0;
};

}  // namespace ztmpfs
