#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ztmpfs {

/// Copies files with what belongs to them, as `cp -a` does: types, modes, times, owners and extended attributes where
/// this process may set them, hard links among what is copied, holes. One object per copy.
class TreeCopy {
 public:
  /// Directories of the device `left_out` are not copied: the file system that is copied to may lie below the source.
  explicit TreeCopy(std::optional<dev_t> left_out = {});

  /// Copies `source` (a symbolic link as such) to `destination`, which must not exist. This process's umask has to be
  /// 0. Throws std::runtime_error that names the path; part of a copy may be there then.
  void copy(const std::string& source, const std::string& destination);

 private:
  struct Entry {
    int directory;
    const char* name;
  };

  void copy_entry(Entry from, Entry to, bool is_top);
  void copy_directory(Entry from, Entry to, bool is_top);
  void copy_children(int from, int to);
  bool make_link(const struct stat& status, Entry to);
  void copy_file(Entry from, Entry to);
  void copy_data(int from, int to, const struct stat& status);
  void copy_range(int from, int to, off_t begin, off_t end);
  void copy_link(Entry from, Entry to, const struct stat& status);
  void make_special(Entry to, const struct stat& status);
  void finish_unopened(Entry to, const struct stat& status);
  void finish(int from, int to, const struct stat& status);
  void copy_attributes(int from, int to);
  [[noreturn]] void fail_to_read() const;
  [[noreturn]] void fail_to_write() const;

  const std::optional<dev_t> left_out_;
  std::string source_;
  std::string destination_;
  std::string path_;                                      // where we are, below both; begins with a slash unless empty
  int top_ = -1;                                          // the destination, if it is a directory
  std::vector<char> data_;                                // on the way
  std::map<std::pair<dev_t, ino_t>, std::string> links_;  // where files with several names are, below the destination
};

}  // namespace ztmpfs
