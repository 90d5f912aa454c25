#include "fuse/operations.h"

#include <fcntl.h>
#include <linux/fuse.h>

#include <array>
#include <cstring>
#include <string>

#include "fuse/flag_operations.h"
#include "fuse/range_operations.h"
#include "fuse/serve.h"

namespace ztmpfs {

namespace {

constexpr unsigned kTransferMax = 1024 * 1024;  // of one WRITE or READ; libfuse 3.14's session takes no more
constexpr unsigned kBackgroundMax = 64;

// ATOMIC_O_TRUNC without OPEN requests would lose truncations; AUTO_INVAL_DATA and WRITEBACK_CACHE cost requests;
// locks are the kernel's own; data moves by one copy, not by splicing.
void set_wishes(fuse_conn_info* connection, const RequestFeatures& features) {
  uint64_t wishes = FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
                    FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPLICIT_INVAL_DATA | FUSE_CAP_EXPORT_SUPPORT |
                    FUSE_CAP_IOCTL_DIR;
  // ACLs: the kernel checks them, we apply the umask, since only directories without a default ACL have one.
  if (features.acl) wishes |= FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK;
#if FUSE_USE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  fuse_unset_feature_flag(connection, ~uint64_t(0));
  fuse_set_feature_flag(connection, connection->capable_ext & wishes);
  connection->no_interrupt = 1;
#else
  connection->want = connection->capable & unsigned(wishes);
#endif
}

void init(void* userdata, fuse_conn_info* connection) {
  Reader& reader = *static_cast<Reader*>(userdata);
  set_wishes(connection, reader.features());
  connection->max_write = std::min(kTransferMax, unsigned(reader.slot().transfer_max()));
  connection->max_background = kBackgroundMax;
  connection->congestion_threshold = kBackgroundMax * 3 / 4;
  reader.note_initialized();
}

void lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  serve(request, [&](Reader& reader) {
    auto attr = result_for<Attr>(
        reader, [&](FileSystem& fs, Operation& operation) { return fs.lookup(operation, parent, name); });
    if (attr && S_ISDIR(attr->mode)) {
      reader.note_telling(attr->ino);
      attr = reader.fs().getattr(attr->ino);  // no older than that note
    }
    if (attr || attr.error() == std::errc::no_such_file_or_directory) {
      const fuse_entry_param entry = attr ? to_entry(*attr) : to_negative_entry();
      fuse_reply_entry(request, &entry);
    } else {
      fuse_reply_err(request, to_errno(attr.error()));
    }
  });
}

void forget_items(fuse_req_t request, std::span<const Forget> items) {
  Reader& reader = reader_of(request);
  guarded(reader, [&] { reader.fs().forget(reader.operation(), items); });
  fuse_reply_none(request);
}

void forget(fuse_req_t request, fuse_ino_t ino, uint64_t lookups) {
  const Forget item{.ino = ino, .lookups = lookups};
  forget_items(request, {&item, 1});
}

void forget_multi(fuse_req_t request, size_t count, fuse_forget_data* items) {
  static_assert(sizeof(Forget) == sizeof(fuse_forget_data));
  static_assert(offsetof(Forget, lookups) == offsetof(fuse_forget_data, nlookup));
  forget_items(request, {reinterpret_cast<const Forget*>(items), count});
}

void getattr(fuse_req_t request, fuse_ino_t ino, fuse_file_info*) {
  serve(request, [&](Reader& reader) {
    reader.note_telling(ino);
    const auto attr = reader.fs().getattr(ino);
    attr ? reply_attr(request, *attr) : static_cast<void>(fuse_reply_err(request, to_errno(attr.error())));
  });
}

#if FUSE_USE_VERSION >= FUSE_MAKE_VERSION(3, 18)
// Sent instead of GETATTR when the time of birth is asked for.
void statx(fuse_req_t request, fuse_ino_t ino, int flags, int, fuse_file_info*) {
  serve(request, [&](Reader& reader) {
    reader.note_telling(ino);
    const auto attr = reader.fs().getattr(ino);
    if (!attr) return static_cast<void>(fuse_reply_err(request, to_errno(attr.error())));
    struct statx status = to_statx(*attr);
    fuse_reply_statx(request, flags, &status, kForever);
  });
}
#endif

// With HANDLE_KILLPRIV_V2 the kernel says which changes take suid and sgid away (fs/fuse/dir.c, fuse_do_setattr). What
// else asks for it, above all before a WRITE, comes as a change of nothing (fuse_setattr leaves out the new mode), and
// the answer tells the kernel the new mode. So does chown(2) to -1 and -1, by anybody: hence the "as writer".
void setattr(fuse_req_t request, fuse_ino_t ino, struct stat* values, int fields, fuse_file_info* file) {
  SetAttr change = to_set_attr(*values, fields);
  const uint32_t valid = reader_of(request).slot().argument<fuse_setattr_in>().valid;
  if (change.fields == 0) change.fields = SetAttr::kDropPrivilegesAsWriter;
  if ((valid & FATTR_KILL_SUIDGID) != 0) change.fields |= SetAttr::kDropPrivileges;
  if (file != nullptr) change.fields |= SetAttr::kByDescriptor;
  serve_change<Attr>(
      request, [&](FileSystem& fs, Operation& operation) { return fs.setattr(operation, ino, change); },
      [&](const Attr& attr) { reply_attr(request, attr); });
}

void readlink(fuse_req_t request, fuse_ino_t ino) {
  serve(request, [&](Reader& reader) {
    const auto target = reader.fs().readlink(ino);
    target ? fuse_reply_readlink(request, target->c_str()) : fuse_reply_err(request, to_errno(target.error()));
  });
}

// A change of names in `directories`: before its reply, the kernel is told of them.
template <class T, class Execute, class Reply>
void serve_names(fuse_req_t request, std::initializer_list<fuse_ino_t> directories, Execute&& execute, Reply&& reply) {
  serve_change<T>(request, execute, [&](const auto&... value) {
    for (const fuse_ino_t ino : directories) reader_of(request).note_directory_changed(ino);
    reply(value...);
  });
}

// The same, answered with an entry and its attributes.
template <class Execute>
void serve_entry(fuse_req_t request, fuse_ino_t parent, Execute&& execute) {
  serve_names<Attr>(request, {parent}, execute, [&](const Attr& attr) {
    const fuse_entry_param entry = to_entry(attr);
    fuse_reply_entry(request, &entry);
  });
}

// The same, answered without a value.
template <class Execute>
void serve_renaming(fuse_req_t request, std::initializer_list<fuse_ino_t> directories, Execute&& execute) {
  serve_names<void>(request, directories, execute, [&] { fuse_reply_err(request, 0); });
}

void mknod(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t rdev) {
  serve_entry(request, parent, [&](FileSystem& fs, Operation& operation) {
    return fs.mknod(operation, parent, name, mode, uint32_t(rdev));
  });
}

void mkdir(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  serve_entry(request, parent,
              [&](FileSystem& fs, Operation& operation) { return fs.mkdir(operation, parent, name, mode); });
}

void symlink(fuse_req_t request, const char* target, fuse_ino_t parent, const char* name) {
  serve_entry(request, parent,
              [&](FileSystem& fs, Operation& operation) { return fs.symlink(operation, parent, name, target); });
}

void link(fuse_req_t request, fuse_ino_t ino, fuse_ino_t parent, const char* name) {
  serve_entry(request, parent,
              [&](FileSystem& fs, Operation& operation) { return fs.link(operation, ino, parent, name); });
}

// A file that is open at once, as far as anything is open here.
template <class Execute>
void serve_opened(fuse_req_t request, fuse_ino_t parent, fuse_file_info* file, Execute&& execute) {
  serve_names<Attr>(request, {parent}, execute, [&](const Attr& attr) {
    const fuse_entry_param entry = to_entry(attr);
    file->keep_cache = 1;
    fuse_reply_create(request, &entry, file);
  });
}

void create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* file) {
  const bool is_exclusive = (file->flags & O_EXCL) != 0;
  serve_opened(request, parent, file, [&](FileSystem& fs, Operation& operation) {
    return fs.create(operation, parent, name, mode, is_exclusive);
  });
}

#if FUSE_USE_VERSION >= FUSE_MAKE_VERSION(3, 17)
void tmpfile(fuse_req_t request, fuse_ino_t parent, mode_t mode, fuse_file_info* file) {
  serve_opened(request, parent, file,
               [&](FileSystem& fs, Operation& operation) { return fs.tmpfile(operation, parent, mode); });
}
#endif

void unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  serve_renaming(request, {parent},
                 [&](FileSystem& fs, Operation& operation) { return fs.unlink(operation, parent, name); });
}

void rmdir(fuse_req_t request, fuse_ino_t parent, const char* name) {
  serve_renaming(request, {parent},
                 [&](FileSystem& fs, Operation& operation) { return fs.rmdir(operation, parent, name); });
}

void rename(fuse_req_t request, fuse_ino_t parent, const char* name, fuse_ino_t new_parent, const char* new_name,
            unsigned flags) {
  serve_renaming(request, {parent, new_parent}, [&](FileSystem& fs, Operation& operation) {
    return fs.rename(operation, parent, name, new_parent, new_name, flags);
  });
}

void read(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset, fuse_file_info*) {
  serve(request, [&](Reader& reader) {
    const auto space = reader.slot().reply_space().first(size);
    const auto length = reader.fs().read(ino, uint64_t(offset), space);
    if (!length) {
      fuse_reply_err(request, to_errno(length.error()));
    } else {
      fuse_reply_buf(request, reinterpret_cast<const char*>(space.data()), *length);
    }
  });
}

void write(fuse_req_t request, fuse_ino_t ino, const char* data, size_t size, off_t offset, fuse_file_info*) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  const uint32_t flags = reader_of(request).slot().argument<fuse_write_in>().write_flags;
  const WriteKind kind{.drops_privileges = (flags & FUSE_WRITE_KILL_SUIDGID) != 0,
                       .is_write_back = (flags & FUSE_WRITE_CACHE) != 0};
  serve_change<size_t>(
      request,
      [&](FileSystem& fs, Operation& operation) { return fs.write(operation, ino, uint64_t(offset), bytes, kind); },
      [&](size_t count) { fuse_reply_write(request, count); });
}

// libfuse wants a terminated name.
class Name {
 public:
  explicit Name(std::string_view name) {
    std::memcpy(text_.data(), name.data(), std::min(name.size(), FileSystem::kNameMax));
  }
  const char* c_str() const { return text_.data(); }

 private:
  std::array<char, FileSystem::kNameMax + 1> text_{};
};

void readdir(fuse_req_t request, fuse_ino_t ino, size_t size, off_t cookie, fuse_file_info*) {
  serve(request, [&](Reader& reader) {
    char* space = reinterpret_cast<char*>(reader.slot().reply_space().data());
    size_t used = 0;
    const auto result = reader.fs().readdir(ino, uint64_t(cookie), [&](const DirectoryEntry& entry) {
      struct stat status{};
      status.st_ino = entry.ino;
      status.st_mode = entry.mode;
      const size_t length =
          fuse_add_direntry(request, space + used, size - used, Name(entry.name).c_str(), &status, off_t(entry.cookie));
      if (length > size - used) return false;
      used += length;
      return true;
    });
    result ? fuse_reply_buf(request, space, used) : fuse_reply_err(request, to_errno(result.error()));
  });
}

void readdirplus(fuse_req_t request, fuse_ino_t ino, size_t size, off_t cookie, fuse_file_info*) {
  char* space = reinterpret_cast<char*>(reader_of(request).slot().reply_space().data());
  size_t used = 0;
  const auto append = [&](const DirectoryEntry& entry, const Attr& attr) -> size_t {
    reader_of(request).note_telling(attr.ino);
    fuse_entry_param param = to_entry(attr);
    // Without a node id the kernel takes no reference.
    if (entry.name == "." || entry.name == "..") param.ino = 0;
    const size_t length = fuse_add_direntry_plus(request, space + used, size - used, Name(entry.name).c_str(), &param,
                                                 off_t(entry.cookie));
    if (length > size - used) return 0;
    used += length;
    return length;
  };
  serve_change<size_t>(
      request,
      [&](FileSystem& fs, Operation& operation) { return fs.readdirplus(operation, ino, uint64_t(cookie), append); },
      [&](size_t length) { fuse_reply_buf(request, space, std::min(length, size)); });
}

// Sent for access(2) and chdir(2), and only where the kernel does not check permissions itself.
void access(fuse_req_t request, fuse_ino_t ino, int mask) {
  serve(request, [&](Reader& reader) {
    const auto allowed = reader.fs().access(ino, reader.operation().caller(), uint32_t(mask));
    fuse_reply_err(request, allowed ? 0 : to_errno(allowed.error()));
  });
}

void statfs(fuse_req_t request, fuse_ino_t) {
  serve(request, [&](Reader& reader) {
    const struct statvfs status = to_statvfs(reader.fs().usage());
    fuse_reply_statfs(request, &status);
  });
}

// There are no handles to release.
void release(fuse_req_t request, fuse_ino_t, fuse_file_info*) { fuse_reply_err(request, 0); }

}  // namespace

fuse_lowlevel_ops lowlevel_operations() {
  fuse_lowlevel_ops operations{};
  operations.init = &init;
  operations.lookup = &lookup;
  operations.forget = &forget;
  operations.forget_multi = &forget_multi;
  operations.getattr = &getattr;
#if FUSE_USE_VERSION >= FUSE_MAKE_VERSION(3, 18)
  operations.statx = &statx;
#endif
  operations.setattr = &setattr;
  operations.readlink = &readlink;
  operations.mknod = &mknod;
  operations.mkdir = &mkdir;
  operations.symlink = &symlink;
  operations.link = &link;
  operations.create = &create;
#if FUSE_USE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  operations.tmpfile = &tmpfile;
#endif
  operations.unlink = &unlink;
  operations.rmdir = &rmdir;
  operations.rename = &rename;
  operations.read = &read;
  operations.write = &write;
  operations.readdir = &readdir;
  operations.readdirplus = &readdirplus;
  operations.statfs = &statfs;
  operations.access = &access;
  operations.ioctl = &ioctl;
  operations.release = &release;
  operations.releasedir = &release;
  add_range_operations(operations);
  add_xattr_operations(operations);
  return operations;
}

}  // namespace ztmpfs
