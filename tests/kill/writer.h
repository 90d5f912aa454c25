#pragma once

#include <sys/stat.h>

#include <fmt/format.h>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "tests/kill/node.h"
#include "tests/posix/random.h"

namespace ztmpfs {

/// The file system did not do what the model says.
struct Mismatch : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What the file system under test can do; tmpfs, on which the model proves itself, cannot do all.
struct Features {
  bool zero_range = false;
  bool xattrs = false;
  bool tmpfile = false;
  bool direct_reads = false;
  bool is_root = false;
  bool walks = true;  ///< a directory that is read in steps gives what was there all the time once

  /// Tries each in `directory`.
  static Features probe(const std::string& directory);
};

/// What a writer does right now, for the one who watches that nobody is stuck.
struct Progress {
  std::atomic<const char*> operation = "";
  std::atomic<int64_t> since = 0;  ///< monotonic milliseconds; 0: between operations
  std::atomic<int> thread = 0;
};

/// Makes the next getdents(2) ask the file system.
void forget_listing(int directory);

/// Works at random in directories of its own and knows what must come out: every byte that is read, every attribute and
/// every errno is compared. One thread. The same seed makes the same operations.
class Writer {
 public:
  /// Makes its directory `top`/w`number`, and works under names of its own in `top`/shared, which exists.
  Writer(const std::string& top, unsigned number, uint64_t seed, const Features& features);
  ~Writer();
  Writer(const Writer&) = delete;

  /// One operation. Throws Mismatch.
  void step();
  /// Compares everything that it has made. Throws Mismatch.
  void verify();
  /// Closes and removes everything that it has made.
  void remove();

  Progress& progress() { return progress_; }
  /// The last operations, oldest first.
  const std::deque<std::string>& history() const { return history_; }
  const std::map<std::string_view, uint64_t>& counts() const { return counts_; }
  uint64_t operations() const { return operations_; }
  uint64_t bytes_compared() const { return bytes_compared_; }

 private:
  struct Handle {
    UniqueFd fd;
    NodePointer node;
    bool can_read = false;
    bool can_write = false;
    bool appends = false;
    char* mapping = nullptr;
    size_t mapping_length = 0;
    bool has_flock = false;
    bool has_record_lock = false;
  };
  struct Operation {
    std::string_view name;
    unsigned weight;
    void (Writer::*run)();
  };
  static const std::vector<Operation>& operation_table();

  // Names (writer_names.cc).
  void create_exclusively();
  void open_or_create();
  void open_existing();
  void make_unnamed();
  void make_directory();
  void make_symlink();
  void make_fifo();
  void make_link();
  void rename_entry();
  void unlink_entry();
  void remove_directory();
  void crowd();
  void remove_tree();

  // Contents (writer_contents.cc).
  void write_somewhere();
  void write_beyond_end();
  void append();
  void truncate_file();
  void allocate();
  void punch();
  void copy_range();
  void read_somewhere();
  void read_whole();
  void seek_data();
  void close_handle();

  // Mappings, locks, attributes, directories (writer_others.cc, writer_walks.cc).
  void map_file();
  void write_mapping();
  void synchronize();
  void take_lock();
  void look_at_lock();
  void change_attributes();
  void change_xattr();
  void look_at_entry();
  void look_at_handle();
  void start_walk();
  void go_on_walking();

  // Comparing (writer_verify.cc).
  template <class Look>
  struct stat settled_status(Look look);
  /// Attributes as the kernel tells them twice.
  struct stat status_of(const std::string& path);
  struct stat status_of(int fd);
  void compare_status(const struct stat& status, Node& node, const std::string& where);
  void compare_bytes(std::string_view seen, size_t offset, const Node& node, std::string_view how);
  void compare_range(const Handle& handle, size_t offset, size_t length);
  void compare_xattrs(const std::string& path, const Node& node);
  void compare_listing(Node& directory);
  void compare_tree(Node& directory);
  void compare_entry(const Entry& entry);
  void compare_file(const std::string& path, const NodePointer& node);

  // Choosing.
  std::string new_name(const Node& directory);
  Node& any_directory();
  Entry place();  ///< a directory and a name that may be taken
  std::vector<Entry> entries(const std::function<bool(const Node&)>& wanted) const;
  Entry any_entry(const std::function<bool(const Node&)>& wanted);
  Handle* any_handle(const std::function<bool(const Handle&)>& wanted);
  size_t any_offset(size_t limit);
  size_t any_length();
  std::string bytes(size_t length) { return random_.bytes(length); }
  mode_t any_mode(mode_t needed) { return mode_t(random_.below(0777) | needed) & 0777; }

  // Doing.
  template <class... Arguments>
  void describe(fmt::format_string<Arguments...> form, Arguments&&... arguments) {
    history_.back() += fmt::format(form, std::forward<Arguments>(arguments)...);
  }
  /// The result of a system call that must succeed (`error` 0), or fail with `error`.
  int64_t expect(int64_t result, int error = 0);
  NodePointer new_node(Node::Kind kind, mode_t mode) const;
  /// Adopts the inode number of what was just made, and keeps or closes the descriptor.
  void adopt(int fd, const NodePointer& node, int flags);
  void adopt_number(const std::string& path, Node& node);
  void keep(int fd, const NodePointer& node, int flags);
  void drop(size_t handle);
  void put(Node& node, size_t offset, std::string_view data);
  void resize(Node& node, size_t size);
  void clear(Node& node, size_t offset, size_t length);
  void remove_below(Node& directory);
  void end_walk(size_t index);
  void finish_walk(Walk& walk);
  int rename_error(const Entry& from, const Entry& to, unsigned flags) const;

  const unsigned number_;
  const Features features_;
  Random random_;
  NodePointer own_;
  NodePointer shared_;
  std::vector<Handle> handles_;
  std::vector<std::unique_ptr<Walk>> walks_;
  Progress progress_;
  std::deque<std::string> history_;
  std::map<std::string_view, uint64_t> counts_;
  uint64_t operations_ = 0;
  uint64_t bytes_compared_ = 0;
};

}  // namespace ztmpfs
