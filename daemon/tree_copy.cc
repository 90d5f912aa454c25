#include "daemon/tree_copy.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string_view>

#include "base/bytes.h"
#include "base/unique_fd.h"

namespace ztmpfs {

namespace {

constexpr size_t kChunk = kMiB;
constexpr mode_t kPermissions = 07777;
constexpr size_t kAttributesMax = 64 * kKiB;  // names of a file, or one value: Linux has no more (xattr(7))

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// Modes are copied as they are. Of the whole process: there are no threads.
class NoMask {
 public:
  NoMask() : mask_(::umask(0)) {}
  ~NoMask() { ::umask(mask_); }
  NoMask(const NoMask&) = delete;
  NoMask& operator=(const NoMask&) = delete;

 private:
  const mode_t mask_;
};

bool is_dot(const char* name) { return std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0; }

std::array<timespec, 2> times_of(const struct stat& status) { return {status.st_atim, status.st_mtim}; }

// A set-user-ID program must not become somebody else's.
mode_t mode_for(const struct stat& status, bool has_owner) {
  const mode_t mode = status.st_mode & kPermissions;
  return has_owner ? mode : mode & ~mode_t(S_ISUID | S_ISGID);
}

}  // namespace

TreeCopy::TreeCopy(std::optional<dev_t> left_out) : left_out_(left_out), data_(kChunk) {}

void TreeCopy::copy(const std::string& source, const std::string& destination) {
  source_ = source;
  destination_ = destination;
  path_.clear();
  links_.clear();
  const NoMask no_mask;
  copy_entry({AT_FDCWD, source_.c_str()}, {AT_FDCWD, destination_.c_str()}, true);
}

void TreeCopy::fail_to_read() const {
  throw std::runtime_error("cannot copy " + source_ + path_ + ": " + std::strerror(errno));
}

void TreeCopy::fail_to_write() const {
  throw std::runtime_error("cannot copy " + source_ + path_ + " to " + destination_ + path_ + ": " +
                           std::strerror(errno));
}

void TreeCopy::copy_entry(Entry from, Entry to, bool is_top) {
  struct stat status{};
  if (::fstatat(from.directory, from.name, &status, AT_SYMLINK_NOFOLLOW) < 0) fail_to_read();
  if (S_ISDIR(status.st_mode)) {
    if (left_out_ != status.st_dev) copy_directory(from, to, is_top);
    return;
  }
  if (status.st_nlink > 1 && make_link(status, to)) return;
  if (S_ISREG(status.st_mode)) {
    copy_file(from, to);
  } else if (S_ISLNK(status.st_mode)) {
    copy_link(from, to, status);
  } else {
    make_special(to, status);
  }
}

// What belongs to the directory comes last: it may forbid writing, and its time changes with its contents.
void TreeCopy::copy_directory(Entry from, Entry to, bool is_top) {
  const UniqueFd source(::openat(from.directory, from.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status{};
  if (!source || ::fstat(source.get(), &status) < 0) fail_to_read();
  if (::mkdirat(to.directory, to.name, S_IRWXU) < 0) fail_to_write();
  const UniqueFd copy(::openat(to.directory, to.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!copy) fail_to_write();
  if (is_top) top_ = copy.get();
  copy_children(source.get(), copy.get());
  finish(source.get(), copy.get(), status);
}

void TreeCopy::copy_children(int from, int to) {
  const std::unique_ptr<DIR, DirectoryCloser> directory(::fdopendir(::fcntl(from, F_DUPFD_CLOEXEC, 0)));
  if (!directory) fail_to_read();
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr && errno != 0) fail_to_read();
    if (entry == nullptr) return;
    if (is_dot(entry->d_name)) continue;
    const size_t length = path_.size();
    path_ += std::string("/") + entry->d_name;
    copy_entry({from, entry->d_name}, {to, entry->d_name}, false);
    path_.resize(length);
  }
}

// False if the file has to be copied.
bool TreeCopy::make_link(const struct stat& status, Entry to) {
  const auto [first, is_first] = links_.try_emplace({status.st_dev, status.st_ino}, path_);
  if (is_first || first->second.empty()) return false;
  if (::linkat(top_, first->second.c_str() + 1, to.directory, to.name, 0) == 0) return true;
  if (errno != EMLINK && errno != ENAMETOOLONG && errno != EPERM) fail_to_write();
  return false;
}

void TreeCopy::copy_file(Entry from, Entry to) {
  const UniqueFd source(::openat(from.directory, from.name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  struct stat status{};
  if (!source || ::fstat(source.get(), &status) < 0) fail_to_read();
  // Writable for us until it is finished.
  const mode_t mode = (status.st_mode & 0777) | S_IRUSR | S_IWUSR;
  const UniqueFd copy(::openat(to.directory, to.name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!copy) fail_to_write();
  copy_data(source.get(), copy.get(), status);
  finish(source.get(), copy.get(), status);
}

// Only what is not a hole, where the file system tells (lseek(2)).
void TreeCopy::copy_data(int from, int to, const struct stat& status) {
  const bool may_have_holes = Bytes(status.st_blocks) * 512 < Bytes(status.st_size);
  if (!may_have_holes) return copy_range(from, to, 0, status.st_size);
  for (off_t at = 0; at < status.st_size;) {
    const off_t begin = ::lseek(from, at, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) break;
    const off_t end = begin < 0 ? -1 : ::lseek(from, begin, SEEK_HOLE);
    if (begin < 0 || end < 0) return copy_range(from, to, at, status.st_size);
    copy_range(from, to, begin, std::min(end, status.st_size));
    at = end;
  }
  if (::ftruncate(to, status.st_size) < 0) fail_to_write();
}

void TreeCopy::copy_range(int from, int to, off_t begin, off_t end) {
  while (begin < end) {
    const size_t wanted = std::min<size_t>(data_.size(), size_t(end - begin));
    const ssize_t count = ::pread(from, data_.data(), wanted, begin);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_to_read();
    if (count == 0) return;  // somebody has cut it
    for (ssize_t done = 0; done < count;) {
      const ssize_t written = ::pwrite(to, data_.data() + done, size_t(count - done), begin + done);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail_to_write();
      done += written;
    }
    begin += count;
  }
}

void TreeCopy::copy_link(Entry from, Entry to, const struct stat& status) {
  std::array<char, PATH_MAX> target{};
  const ssize_t length = ::readlinkat(from.directory, from.name, target.data(), target.size() - 1);
  if (length < 0) fail_to_read();
  if (::symlinkat(target.data(), to.directory, to.name) < 0) fail_to_write();
  finish_unopened(to, status);
}

void TreeCopy::make_special(Entry to, const struct stat& status) {
  if (::mknodat(to.directory, to.name, status.st_mode, status.st_rdev) < 0) fail_to_write();
  finish_unopened(to, status);
}

void TreeCopy::finish_unopened(Entry to, const struct stat& status) {
  const bool has_owner = ::fchownat(to.directory, to.name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) == 0;
  if (!S_ISLNK(status.st_mode) && ::fchmodat(to.directory, to.name, mode_for(status, has_owner), 0) < 0)
    fail_to_write();
  if (::utimensat(to.directory, to.name, times_of(status).data(), AT_SYMLINK_NOFOLLOW) < 0) fail_to_write();
}

void TreeCopy::finish(int from, int to, const struct stat& status) {
  struct stat now{};
  if (::fstat(to, &now) < 0) fail_to_write();
  copy_attributes(from, to);
  bool has_owner = now.st_uid == status.st_uid && now.st_gid == status.st_gid;
  if (!has_owner) has_owner = ::fchown(to, status.st_uid, status.st_gid) == 0;
  const mode_t mode = mode_for(status, has_owner);
  if ((now.st_mode & kPermissions) != mode && ::fchmod(to, mode) < 0) fail_to_write();
  if (::futimens(to, times_of(status).data()) < 0) fail_to_write();
}

// As far as it is possible; what is not was not asked for: of the mount with xattr, of the kernel by permission.
void TreeCopy::copy_attributes(int from, int to) {
  std::string names(kAttributesMax, '\0');
  const ssize_t length = ::flistxattr(from, names.data(), names.size());
  if (length <= 0) return;
  std::string value(kAttributesMax, '\0');
  for (const char* name = names.data(); name < names.data() + length; name += std::strlen(name) + 1) {
    const ssize_t size = ::fgetxattr(from, name, value.data(), value.size());
    if (size < 0 || ::fsetxattr(to, name, value.data(), size_t(size), 0) == 0) continue;
    if (errno == ENOSPC) fail_to_write();
  }
}

}  // namespace ztmpfs
