#pragma once

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ztmpfs {

struct Walk;

/// What one inode must be, as its only writer knows it. Lives as long as a name or an open descriptor refers to it.
struct Node {
  enum class Kind { kFile, kDirectory, kSymlink, kFifo, kWhiteout };

  Kind kind = Kind::kFile;
  uint64_t ino = 0;
  mode_t mode = 0;  ///< permission bits
  uid_t uid = 0;
  gid_t gid = 0;
  unsigned names = 0;  ///< hard links; 1 for a directory that has a name
  std::string data;    ///< contents, or a link's target
  std::map<std::string, std::string> xattrs;

  /// Times as they were last seen, forgotten when an operation may have changed them: what is carried out twice shows.
  std::optional<timespec> modified;
  std::optional<timespec> changed;
  bool has_dirty_pages = false;  ///< written through a mapping: the kernel writes back when it likes
  unsigned mappings = 0;
  bool never_named = false;  ///< made without a name: linkat(2) may give it one, once

  // Directories.
  std::map<std::string, std::shared_ptr<Node>> children;
  Node* parent = nullptr;
  std::string name;        ///< the last part of its path; of a writer's top directories the whole path
  bool is_shared = false;  ///< other writers work in it too
  std::vector<Walk*> walks;

  bool is(Kind wanted) const { return kind == wanted; }
  bool is_directory() const { return kind == Kind::kDirectory; }
  std::string path() const { return parent == nullptr ? name : parent->path() + "/" + name; }
  unsigned depth() const { return parent == nullptr ? 0 : parent->depth() + 1; }
  unsigned subdirectories() const;
  /// True if this is `other` or lies above it.
  bool contains(const Node& other) const;
  void touch() { changed.reset(); }
  void touch_contents() { modified.reset(), changed.reset(); }
};

using NodePointer = std::shared_ptr<Node>;

/// One name in the tree.
struct Entry {
  Node* directory = nullptr;
  std::string name;
  NodePointer node;  ///< null: nothing has the name

  std::string path() const { return directory->path() + "/" + name; }
};

/// A directory that is read in many small steps, with changes and kills in between.
struct Walk {
  NodePointer directory;
  int fd = -1;
  std::vector<std::string> seen;        ///< of this writer, in the order in which they came
  std::map<std::string, bool> touched;  ///< names made or removed meanwhile: they may come or not
  int64_t mark = -1;                    ///< a position to go back to
  size_t mark_index = 0;                ///< names seen before it
  std::vector<std::string> seen_again;  ///< after the mark, the second time
  bool is_second = false;
};

/// Gives a node a name, or takes it away. Times, counts and walks of both nodes follow.
void add_name(Node& directory, const std::string& name, const NodePointer& node);
void remove_name(Node& directory, const std::string& name);

}  // namespace ztmpfs
