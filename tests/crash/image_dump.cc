#include "tests/crash/image_dump.h"

#include <functional>
#include <iomanip>
#include <sstream>
#include <vector>

namespace ztmpfs {

namespace {

constexpr uint64_t kRecordsPerPage = kPageSize / sizeof(InodeRecord);
constexpr size_t kReadSize = 64 * kKiB;

class Dump {
 public:
  explicit Dump(Volume& volume) : volume_(volume), fs_(volume.fs()) {}

  std::string text() {
    const Region inodes = volume_.image().region(RegionId::kInodes);
    inodes.for_each_resident([&](Bytes offset, Bytes length) {
      for (uint64_t page = offset / kPageSize; page < (offset + length) / kPageSize; ++page)
        for (uint64_t i = 0; i < kRecordsPerPage; ++i)
          tell_record(
              uint32_t(page * kRecordsPerPage + i),
              *reinterpret_cast<const InodeRecord*>(inodes.base() + page * kPageSize + i * sizeof(InodeRecord)));
    });
    tell_counters();
    for (const std::string& breach : fs_.audit()) out_ << "breach: " << breach << "\n";
    return out_.str();
  }

 private:
  void tell_record(uint32_t index, const InodeRecord& inode) {
    if (inode.state == InodeRecord::kFree) return;
    out_ << "inode " << index << " state=" << inode.state;
    if (inode.state != InodeRecord::kUsed) return static_cast<void>(out_ << "\n");
    const uint64_t ino = make_ino(index, inode.uses);
    out_ << " mode=" << std::oct << inode.mode << std::dec << " nlink=" << inode.nlink << " uid=" << inode.uid
         << " gid=" << inode.gid << " rdev=" << inode.rdev << " flags=" << inode.flags << " size=" << inode.size
         << " lookups=" << inode.lookups << " parent=" << ino_index(inode.parent) << " cookie=" << inode.next_cookie
         << " kinds=" << inode.xattr_kinds << " times=" << inode.atime_seconds << "." << inode.atime_nanoseconds << ","
         << inode.mtime_seconds << "." << inode.mtime_nanoseconds << "," << inode.ctime_seconds << "."
         << inode.ctime_nanoseconds << "," << inode.btime_seconds << "." << inode.btime_nanoseconds;
    if (inode.is_regular()) tell_contents(ino);
    if (inode.is_symlink()) out_ << " -> " << fs_.readlink(ino).value_or("unreadable");
    tell_xattrs(ino);
    out_ << "\n";
    if (inode.is_directory()) tell_entries(ino);
  }

  // What reads as zeros need not be read: where it lies and what is not zero say all.
  void tell_contents(uint64_t ino) {
    const auto attr = fs_.getattr(ino);
    out_ << " blocks=" << attr->blocks;
    std::string bytes(kReadSize, '\0');
    size_t hash = 0;
    for (uint64_t offset = 0; offset < attr->size; offset += kReadSize) {
      const auto data = fs_.seek_data(ino, offset);
      if (!data) break;
      offset = *data / kReadSize * kReadSize;
      const auto length = fs_.read(ino, offset, std::as_writable_bytes(std::span(bytes)));
      if (!length) return static_cast<void>(out_ << " unreadable");
      const auto text = std::string_view(bytes).substr(0, *length);
      if (text.find_first_not_of('\0') != text.npos)
        hash = hash * 31 + std::hash<std::string_view>()(text) + std::hash<uint64_t>()(offset);
    }
    out_ << " contents=" << std::hex << hash << std::dec;
  }

  void tell_xattrs(uint64_t ino) {
    std::string names(kReadSize, '\0');
    const auto length = fs_.list_xattrs(ino, {}, std::as_writable_bytes(std::span(names)));
    if (!length) return static_cast<void>(out_ << " xattrs unreadable");
    names.resize(*length);
    for (std::istringstream list(names); std::getline(list, names, '\0');) {
      std::string value(kReadSize, '\0');
      const auto size = fs_.get_xattr(ino, names, std::as_writable_bytes(std::span(value)));
      value.resize(size.value_or(0));
      out_ << " " << names << "=" << std::hash<std::string>()(value) << "/" << value.size();
    }
  }

  void tell_entries(uint64_t ino) {
    const auto told = fs_.readdir(ino, 0, [&](const DirectoryEntry& entry) {
      out_ << "  " << std::quoted(std::string(entry.name)) << " " << ino_index(entry.ino) << " " << entry.cookie << " "
           << std::oct << entry.mode << std::dec << "\n";
      return true;
    });
    if (!told) out_ << "  unreadable\n";
  }

  void tell_counters() {
    const VolumeStats stats = volume_.stats();
    out_ << "files=" << stats.files << " directories=" << stats.directories << " orig=" << stats.store.orig_data_size
         << " compressed=" << stats.store.compr_data_size << " hot=" << stats.store.hot_bytes
         << " reserved=" << stats.store.reserved_bytes << " same=" << stats.store.same_pages
         << " huge=" << stats.store.huge_pages << " objects=" << stats.pool.objects_used
         << " payload=" << stats.pool.payload << " spans=" << stats.pool.span_bytes
         << " metadata=" << stats.metadata_bytes << " handles=" << stats.pool.handle_bytes
         << " used=" << volume_.budget().used() << " promised=" << volume_.budget().promised()
         << " options=" << volume_.image().header().changed_options.load() << "\n";
  }

  Volume& volume_;
  FileSystem& fs_;
  std::ostringstream out_;
};

}  // namespace

std::string dump(Volume& volume) { return Dump(volume).text(); }

}  // namespace ztmpfs
