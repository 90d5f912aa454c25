// Extended attributes, and access control lists, which travel as such.
#include <linux/limits.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "tests/posix/operations.h"

namespace ztmpfs {

namespace {

std::string attribute_name(Random& random) {
  switch (random.below(30)) {
    case 0: return "nonsense";
    case 1: return "user.";
    case 2: return "user." + std::string(XATTR_NAME_MAX - 5, 'n');
    case 3: return "user." + std::string(XATTR_NAME_MAX - 4, 'n');
    case 4: return "";
    case 5: return "system.nonsense";
    case 6: return "other.name";
    case 7:
    case 8:
    case 9: return std::string("trusted.") + char('a' + random.below(3));
    case 10:
    case 11: return std::string("security.") + char('a' + random.below(3));
    default: return std::string("user.") + char('a' + random.below(5));
  }
}

size_t value_length(Random& random) {
  if (random.chance(80)) return random.below(200);
  return random.pick<size_t>({0, 4096, 65536, 65537, 100'000, 5000});
}

// As the calls for links and for descriptors differ from the others, and no *at() exists before Linux 6.13.
struct Subject {
  std::string name;
  int fd;
  bool follows;
};

Subject subject(Call& call, std::string_view what, const std::string& attribute) {
  if (call.random().chance(30)) {
    const size_t slot = call.slot();
    call.describe("{}([{}], {})", what, slot, attribute.substr(0, 30));
    call.watch("file", call.fd(slot));
    return {"", call.fd(slot), false};
  }
  const Path path = call.path();
  const bool follows = call.random().chance(70);
  call.describe("{}({}, {}{})", what, path.shown, attribute.substr(0, 30), follows ? "" : ", not followed");
  call.watch("file", path);
  return {fmt::format("/proc/self/fd/{:/>6}/{}", path.directory, path.text), -1, follows};
}

int set(const Subject& on, const std::string& name, const std::string& value, int flags) {
  if (on.name.empty()) return ::fsetxattr(on.fd, name.c_str(), value.data(), value.size(), flags);
  return (on.follows ? ::setxattr : ::lsetxattr)(on.name.c_str(), name.c_str(), value.data(), value.size(), flags);
}

ssize_t get(const Subject& on, const std::string& name, std::string& value) {
  void* space = value.empty() ? nullptr : value.data();
  if (on.name.empty()) return ::fgetxattr(on.fd, name.c_str(), space, value.size());
  return (on.follows ? ::getxattr : ::lgetxattr)(on.name.c_str(), name.c_str(), space, value.size());
}

void set_attribute(Call& call) {
  const std::string name = attribute_name(call.random());
  const std::string value = call.random().bytes(value_length(call.random()));
  const int flags = call.random().pick<int>({0, 0, 0, XATTR_CREATE, XATTR_REPLACE, 4, XATTR_CREATE | XATTR_REPLACE});
  const Subject on = subject(call, "setxattr", name);
  call.describe("{} bytes, flags {}", value.size(), flags);
  call.begin();
  call.result("setxattr", set(on, name, value, flags));
}

void get_attribute(Call& call) {
  const std::string name = attribute_name(call.random());
  std::string value(call.random().pick<size_t>({0, 10, 300, 70'000}), '?');
  const Subject on = subject(call, "getxattr", name);
  call.describe("{} bytes", value.size());
  call.begin();
  const int64_t length = call.result("getxattr", get(on, name, value));
  if (length >= 0 && !value.empty()) call.trace().add("value", value.substr(0, size_t(length)));
}

void remove_attribute(Call& call) {
  const std::string name = attribute_name(call.random());
  const Subject on = subject(call, "removexattr", name);
  call.begin();
  if (on.name.empty()) {
    call.result("removexattr", ::fremovexattr(on.fd, name.c_str()));
  } else {
    call.result("removexattr", (on.follows ? ::removexattr : ::lremovexattr)(on.name.c_str(), name.c_str()));
  }
}

void list_attributes(Call& call) {
  std::string space(call.random().pick<size_t>({0, 5, 70'000}), '\0');
  const Subject on = subject(call, "listxattr", "");
  call.describe("{} bytes", space.size());
  call.begin();
  char* begin = space.empty() ? nullptr : space.data();
  const ssize_t length = on.name.empty()
                             ? ::flistxattr(on.fd, begin, space.size())
                             : (on.follows ? ::listxattr : ::llistxattr)(on.name.c_str(), begin, space.size());
  if (call.result("listxattr", length) <= 0 || space.empty()) return;
  std::vector<std::string> names;
  for (size_t at = 0; at < size_t(length); at += names.back().size() + 1) names.emplace_back(space.data() + at);
  std::ranges::sort(names);
  std::string text;
  for (const std::string& name : names) text += name + " ";
  call.trace().add("names", text);
}

// One that is right, or nearly: entries for the owner, a user, the group, a group, the mask and others.
std::string acl(Random& random) {
  std::string value(sizeof(posix_acl_xattr_header), '\0');
  const uint32_t version = random.chance(95) ? POSIX_ACL_XATTR_VERSION : 1;
  std::memcpy(value.data(), &version, sizeof(version));
  const auto add = [&](uint16_t tag, uint32_t id) {
    const posix_acl_xattr_entry entry{tag, uint16_t(random.below(8)), id};
    value.append(reinterpret_cast<const char*>(&entry), sizeof(entry));
  };
  const bool has_user = random.chance(60);
  const bool has_group = random.chance(40);
  add(ACL_USER_OBJ, ACL_UNDEFINED_ID);
  if (has_user) add(ACL_USER, 1001);
  add(ACL_GROUP_OBJ, ACL_UNDEFINED_ID);
  if (has_group) add(ACL_GROUP, 3001);
  if (has_user || has_group || random.chance(20)) add(ACL_MASK, ACL_UNDEFINED_ID);
  if (random.chance(97)) add(ACL_OTHER, ACL_UNDEFINED_ID);
  return value;
}

void access_list(Call& call) {
  const bool is_default = call.random().chance(40);
  const std::string name = is_default ? "system.posix_acl_default" : "system.posix_acl_access";
  const uint64_t kind = call.random().below(5);
  const std::string value = acl(call.random());
  const Subject on = subject(call, kind < 3 ? "set" : kind == 3 ? "get" : "remove", name);
  call.begin();
  if (kind < 3) {
    call.result("setxattr", set(on, name, value, 0));
  } else if (kind == 3) {
    std::string space(1000, '?');
    const int64_t length = call.result("getxattr", get(on, name, space));
    if (length >= 0) call.trace().add("value", space.substr(0, size_t(length)));
  } else if (on.name.empty()) {
    call.result("removexattr", ::fremovexattr(on.fd, name.c_str()));
  } else {
    call.result("removexattr", (on.follows ? ::removexattr : ::lremovexattr)(on.name.c_str(), name.c_str()));
  }
}

constexpr OperationKind kOperations[] = {{"setxattr", 15, set_attribute},
                                         {"getxattr", 10, get_attribute},
                                         {"removexattr", 6, remove_attribute},
                                         {"listxattr", 6, list_attributes},
                                         {"acl", 12, access_list}};

}  // namespace

std::span<const OperationKind> xattr_operations() { return kOperations; }

}  // namespace ztmpfs
