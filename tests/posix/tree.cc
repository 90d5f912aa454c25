#include "tests/posix/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace ztmpfs {

namespace {

using Report = std::function<bool(const std::string& path, const Trace& ours, const Trace& reference)>;

std::vector<std::string> names_in(int directory) {
  std::vector<std::string> names;
  const int again = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (again < 0) return names;
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(again), ::closedir);
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

// The bytes where operations put them: near the beginning, and at the far offsets of Call::offset().
void add_contents(Trace& trace, int fd, int64_t size) {
  constexpr int64_t kZone = 512 * 1024;
  for (const int64_t begin : {int64_t(0), 1L << 31, 1L << 32, 1L << 40, 1L << 62, INT64_MAX - kZone}) {
    if (begin >= size) break;
    std::string buffer(size_t(std::min(kZone, size - begin)), '?');
    const ssize_t length = ::pread(fd, buffer.data(), buffer.size(), begin);
    trace.add_result("contents", length, errno);
    if (length > 0) trace.add("contents.data", std::string_view(buffer).substr(0, size_t(length)));
  }
}

// Everything about one inode but what is below it.
Trace describe(World& world, const CallOptions& options, int directory, const std::string& name) {
  Call call(world, 0, options);
  const Path path{.directory = directory, .text = name, .is_shared = false, .shown = name};
  call.look("inode", path);
  struct stat status{};
  if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return call.trace();
  if (S_ISLNK(status.st_mode)) {
    std::string target(PATH_MAX, '?');
    const ssize_t length = ::readlinkat(directory, name.c_str(), target.data(), target.size());
    call.trace().add("target", target.substr(0, size_t(std::max<ssize_t>(length, 0))));
  } else if (S_ISREG(status.st_mode)) {
    const UniqueFd fd(::openat(directory, name.c_str(), O_RDONLY | O_CLOEXEC));
    call.opened("open", fd.get());
    if (fd) add_contents(call.trace(), fd.get(), status.st_size);
    // Archivers leave out what has no blocks.
    const auto& fields = call.trace().fields();
    const bool has_data = std::ranges::any_of(fields, [](const Trace::Field& field) {
      return field.label == "contents.data" && field.value.find_first_not_of('\0') != std::string::npos;
    });
    call.trace().add("blocks", !has_data || status.st_blocks > 0 ? "as they must be" : "none");
  }
  return call.trace();
}

class Walk {
 public:
  Walk(World& ours, World& reference, const CallOptions& options, const Report& report)
      : ours_(ours), reference_(reference), options_(options), report_(report) {}

  bool directory(int ours, int reference, const std::string& path) {
    const auto names = names_in(ours);
    const auto expected = names_in(reference);
    if (names != expected) return report_(path, list(names), list(expected));
    for (const std::string& name : names) {
      const std::string child = path + "/" + name;
      if (!report_(child, describe(ours_, options_, ours, name), describe(reference_, options_, reference, name)))
        return false;
      constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
      const UniqueFd our_child(::openat(ours, name.c_str(), kFlags));
      const UniqueFd reference_child(::openat(reference, name.c_str(), kFlags));
      if (our_child && reference_child && !directory(our_child.get(), reference_child.get(), child)) return false;
    }
    return true;
  }

 private:
  static Trace list(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) text += name + " ";
    Trace trace;
    trace.add("names", text);
    return trace;
  }

  World& ours_;
  World& reference_;
  const CallOptions& options_;
  const Report& report_;
};

}  // namespace

void walk_trees(World& ours, World& reference, const CallOptions& options, const Report& report) {
  CallOptions as_root = options;
  as_root.mixes_identities = false;
  Walk(ours, reference, as_root, report).directory(ours.root(), reference.root(), "");
}

bool empty_directory(int directory) {
  ::fchmod(directory, 0700);
  for (const std::string& name : names_in(directory)) {
    if (::unlinkat(directory, name.c_str(), 0) == 0) continue;
    ::fchmodat(directory, name.c_str(), 0700, 0);
    const UniqueFd child(::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (child) empty_directory(child.get());
    ::unlinkat(directory, name.c_str(), AT_REMOVEDIR);
  }
  return names_in(directory).empty();
}

}  // namespace ztmpfs
