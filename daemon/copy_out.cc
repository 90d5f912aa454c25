#include "daemon/copy_out.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <ranges>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "daemon/tree_copy.h"

namespace ztmpfs {

namespace {

namespace filesystem = std::filesystem;

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what + ": " + std::strerror(errno)); }

bool is_directory(const std::string& path) {
  std::error_code error;
  return filesystem::is_directory(filesystem::symlink_status(path, error));
}

bool is_link_to_directory(const std::string& path) {
  std::error_code error;
  return filesystem::is_symlink(filesystem::symlink_status(path, error)) && filesystem::is_directory(path, error);
}

bool is_there(const std::string& path) {
  std::error_code error;
  return filesystem::exists(filesystem::symlink_status(path, error));
}

// Outermost first.
std::vector<std::string> missing_parents_of(const std::string& path) {
  std::vector<std::string> missing;
  std::error_code error;
  for (filesystem::path parent = filesystem::path(path).parent_path();
       !filesystem::exists(parent, error) && parent != parent.parent_path(); parent = parent.parent_path())
    missing.insert(missing.begin(), parent.string());
  return missing;
}

bool is_at_or_above(const std::string& directory, const std::string& path) {
  return path == directory || directory == "/" || path.starts_with(directory + "/");
}

bool rename(const std::string& from, const std::string& to) { return ::rename(from.c_str(), to.c_str()) == 0; }

// Afterwards `was_there` is at `aside`, or at `former` where the file system cannot exchange names (EINVAL).
bool exchange(const std::string& aside, const std::string& was_there, const std::string& former) {
  if (::renameat2(AT_FDCWD, aside.c_str(), AT_FDCWD, was_there.c_str(), RENAME_EXCHANGE) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS) return false;
  if (!rename(was_there, former)) return false;
  if (rename(aside, was_there)) return true;
  const int reason = errno;
  rename(former, was_there);
  errno = reason;
  return false;
}

}  // namespace

CopyOut::CopyOut(const RunRequest& request, const std::string& name) : replaces_(request.replace) {
  for (const RunRequest::Result& wanted : request.copy_out) {
    const filesystem::path parent = filesystem::path(wanted.destination).parent_path();
    const std::string aside = "ztmpfs-" + name + "." + std::to_string(results_.size());
    results_.push_back({.wanted = wanted,
                        .aside = (parent / ("." + aside)).string(),
                        .former = (parent / ("." + aside + ".old")).string(),
                        .kept = (parent / aside).string(),
                        .missing_parents = missing_parents_of(wanted.destination)});
    check(results_.back());
  }
}

void CopyOut::check(const Result& result) const {
  const std::string& destination = result.wanted.destination;
  const auto is_same = [&](const Result& other) { return other.wanted.destination == destination; };
  if (std::ranges::count_if(results_, is_same) > 1)
    throw std::runtime_error("--copy-out has two results for " + destination);
  const std::string parent = result.missing_parents.empty()
                                 ? filesystem::path(destination).parent_path().string()
                                 : filesystem::path(result.missing_parents.front()).parent_path().string();
  if (::access((parent + "/.").c_str(), W_OK | X_OK) < 0)
    fail("--copy-out cannot make " + destination + " in " + parent);
  if (is_link_to_directory(destination))
    throw std::runtime_error("--copy-out cannot replace " + destination + ": it is a symbolic link to a directory");
  if (!is_directory(destination)) return;
  if (!replaces_) throw std::runtime_error(destination + " is there already: --replace lets --copy-out replace it");
  if (is_at_or_above(filesystem::canonical(destination).string(), filesystem::current_path().string()))
    throw std::runtime_error("--copy-out cannot replace " + destination + ": this is where ztmpfs run was called");
}

bool CopyOut::is_needed(bool has_failed) const {
  return std::ranges::any_of(results_, [&](const Result& result) { return !has_failed || result.wanted.always; });
}

void CopyOut::copy(const std::string& work, bool has_failed) const {
  std::vector<const Result*> wanted;
  for (const Result& result : results_)
    if (!has_failed || result.wanted.always) wanted.push_back(&result);
  for (const Result* result : wanted) copy_aside(*result, work);
  const auto is_in_the_way = [&](const Result* result) { return !obstacle(*result).empty(); };
  const bool is_any_in_the_way = std::ranges::any_of(wanted, is_in_the_way);
  std::string failures;
  for (const Result* result : wanted) {
    const std::string reason = is_any_in_the_way ? obstacle(*result) : publish(*result);
    if (reason.empty() && !is_any_in_the_way) continue;
    failures += (failures.empty() ? "" : "; ") + keep(*result, reason.empty() ? "another one cannot be" : reason);
  }
  if (!failures.empty()) throw std::runtime_error(failures);
}

// A symbolic link that is named by the user is followed.
void CopyOut::copy_aside(const Result& result, const std::string& work) const {
  std::error_code error;
  const filesystem::path source = filesystem::canonical(work + "/" + result.wanted.source, error);
  if (error) throw std::runtime_error("--copy-out " + result.wanted.source + ": " + error.message());
  for (const std::string& parent : result.missing_parents)
    if (::mkdir(parent.c_str(), 0777) < 0 && errno != EEXIST) fail("cannot make " + parent);
  TreeCopy().copy(source.string(), result.aside);
}

// What the command has brought into the way of a copy meanwhile.
std::string CopyOut::obstacle(const Result& result) const {
  const std::string& destination = result.wanted.destination;
  if (is_link_to_directory(destination)) return "it is a symbolic link to a directory";
  if (!is_directory(destination))
    return is_directory(result.aside) && is_there(destination) ? "it is a file, and the result a directory" : "";
  if (!is_directory(result.aside)) return "it is a directory, and the result is none";
  return replaces_ ? "" : "it is a directory";
}

// Returns why it cannot be done.
std::string CopyOut::publish(const Result& result) const {
  const std::string& destination = result.wanted.destination;
  const bool is_replaced = replaces_ && is_directory(destination) && is_directory(result.aside);
  if (!(is_replaced ? exchange(result.aside, destination, result.former) : rename(result.aside, destination)))
    return std::strerror(errno);
  std::error_code error;
  filesystem::remove_all(result.aside, error);  // what was there before
  filesystem::remove_all(result.former, error);
  return {};
}

// A command may have taken hours for it. Under a name that remove_remains() does not know.
std::string CopyOut::keep(const Result& result, const std::string& why) const {
  const std::string sentence = "cannot put the result in place of " + result.wanted.destination + ": " + why;
  if (!rename(result.aside, result.kept)) return sentence + "; cannot keep it: " + std::strerror(errno);
  return sentence + "; the result is in " + result.kept;
}

void CopyOut::remove_remains() const noexcept {
  std::error_code error;
  for (const Result& result : results_) {
    if (is_there(result.former) && !is_there(result.wanted.destination))
      rename(result.former, result.wanted.destination);
    filesystem::remove_all(result.aside, error);
    filesystem::remove_all(result.former, error);
    for (const std::string& parent : std::views::reverse(result.missing_parents)) ::rmdir(parent.c_str());
  }
}

}  // namespace ztmpfs
