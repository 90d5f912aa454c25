#include "ctl/tree_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <system_error>
#include <utility>

#include "base/unique_fd.h"
#include "ctl/printable.h"

namespace ztmpfs {

namespace {

// Longer names take a record of the other kind (fs/name_table.h).
constexpr size_t kShortNameMax = 32;

using FileId = std::pair<dev_t, ino_t>;

// Where a file with holes has data. Nothing if the file system cannot tell, or says that there are no holes.
std::vector<ByteRange> data_ranges(const std::string& path, uint64_t size) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  std::vector<ByteRange> ranges;
  if (!fd) return ranges;
  for (off_t at = 0; uint64_t(at) < size;) {
    const off_t begin = ::lseek(fd.get(), at, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) break;
    if (begin < 0) return {};
    const off_t end = ::lseek(fd.get(), begin, SEEK_HOLE);
    if (end <= begin) return {};
    ranges.push_back({uint64_t(begin), std::min(uint64_t(end), size)});
    at = end;
  }
  if (ranges.empty()) ranges.push_back({size, size});  // all of it is a hole
  return ranges;
}

std::string join(const std::string& directory, const std::string& name) {
  if (directory.empty()) return name;
  return directory.ends_with('/') ? directory + name : directory + "/" + name;
}

class TreeWalk {
 public:
  TreeWalk(const std::stop_token& stop, std::atomic<uint64_t>& entries) : stop_(stop), entries_(entries) {}

  TreeContents walk(const std::vector<std::string>& paths) {
    found_.directories.emplace_back();  // of what was named itself
    for (const std::string& path : paths) {
      visit(kNamed, path);
      while (!pending_.empty() && !stop_.stop_requested()) {
        const uint32_t directory = pending_.back();
        pending_.pop_back();
        read_directory(directory);
      }
    }
    return std::move(found_);
  }

 private:
  static constexpr uint32_t kNamed = 0;  // number of the directory that paths on the command line are in

  void complain(const std::string& path, int error) { found_.unreadable.push_back(unreadable_sentence(path, error)); }

  void read_directory(uint32_t number) {
    const std::string path = found_.directories[number];
    const std::unique_ptr<DIR, decltype([](DIR* stream) { ::closedir(stream); })> stream(::opendir(path.c_str()));
    if (stream == nullptr) return complain(path, errno);
    while (!stop_.stop_requested()) {
      errno = 0;
      const dirent* entry = ::readdir(stream.get());
      if (entry == nullptr) break;
      const std::string name = entry->d_name;
      if (name != "." && name != "..") visit(number, name);
    }
    if (errno != 0) complain(path, errno);
  }

  void visit(uint32_t directory, const std::string& name) {
    const bool is_named = directory == kNamed;
    const std::string path = join(found_.directories[directory], name);
    struct stat status;
    if (::lstat(path.c_str(), &status) != 0) return complain(path, errno);
    entries_.fetch_add(1, std::memory_order_relaxed);
    if (is_named) device_ = status.st_dev;
    if (S_ISDIR(status.st_mode) && status.st_dev != device_) {
      ++found_.file_systems_left_out;
      return;
    }
    const bool may_come_again = is_named || S_ISDIR(status.st_mode) || status.st_nlink > 1 || has_named_files_;
    if (is_named && !S_ISDIR(status.st_mode)) has_named_files_ = true;
    const bool is_new = !may_come_again || seen_.emplace(status.st_dev, status.st_ino).second;
    if (!is_new && (is_named || S_ISDIR(status.st_mode) || status.st_nlink == 1)) return;  // named twice
    ++(name.size() <= kShortNameMax ? found_.short_names : found_.long_names);
    if (!is_new) {
      ++found_.further_links;
    } else if (S_ISDIR(status.st_mode)) {
      ++found_.directories_found;
      found_.directories.push_back(path);
      pending_.push_back(uint32_t(found_.directories.size() - 1));
    } else if (S_ISLNK(status.st_mode)) {
      ++found_.symlinks_found;
      ++found_.symlink_lengths[std::clamp<size_t>(size_t(status.st_size), 1, TreeContents::kSymlinkMax)];
    } else if (S_ISREG(status.st_mode)) {
      add_file(directory, name, path, status);
    } else {
      ++found_.others_found;
    }
  }

  void add_file(uint32_t directory, const std::string& name, const std::string& path, const struct stat& status) {
    const auto size = uint64_t(status.st_size);
    if (size != 0 && ::faccessat(AT_FDCWD, path.c_str(), R_OK, AT_EACCESS) != 0) return complain(path, errno);
    ++found_.files_found;
    if (size == 0) return;
    FoundFile file{.directory = directory, .name = name, .size = size, .data = {}};
    constexpr uint64_t kSector = 512;  // st_blocks, see stat(2)
    if (uint64_t(status.st_blocks) * kSector < size) file.data = data_ranges(path, size);
    found_.size_total += size;
    Bytes data = 0;
    for (const ByteRange& range : file.data) data += range.end - range.begin;
    found_.data_total += file.data.empty() ? size : data;
    found_.files.push_back(std::move(file));
  }

  const std::stop_token stop_;
  std::atomic<uint64_t>& entries_;
  TreeContents found_;
  std::vector<uint32_t> pending_;  // directories to be read
  std::set<FileId> seen_;          // what may come a second time
  dev_t device_ = 0;               // the file system of the path that was named
  bool has_named_files_ = false;
};

}  // namespace

TreeContents walk_trees(const std::vector<std::string>& paths, const std::stop_token& stop,
                        std::atomic<uint64_t>& entries) {
  return TreeWalk(stop, entries).walk(paths);
}

std::string TreeContents::path_of(const FoundFile& file) const { return join(directories[file.directory], file.name); }

std::string unreadable_sentence(const std::string& path, int error) {
  return printable(path) + ": " + std::generic_category().message(error);
}

}  // namespace ztmpfs
