#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/durable_store.h"
#include "base/durable_text.h"
#include "base/mount_record.h"
#include "base/supervision.h"
#include "base/unique_fd.h"

namespace ztmpfs {

/// The parts of the metadata memfd, in the order in which they lie there.
enum class RegionId : uint32_t {
  kHeader,       ///< ImageHeader
  kSupervision,  ///< SupervisionRecord
  kMount,        ///< MountRecord
  kRequests,     ///< fs: one RequestRecord per reader (intent and outcome)
  kHandles,      ///< pool: where each object lies
  kBlocks,       ///< store: one slot per block of a file
  kInodes,       ///< fs
  kNames,        ///< fs: directory entries with short names
  kLongNames,    ///< fs: directory entries with long names
  kCount,
};

/// What a new image is made for. `capacity` bounds each table and, four times over, the arena; it is address space,
/// not memory, and the highest that `size` can ever be set to.
struct ImageGeometry {
  Bytes capacity = 64 * kGiB;
  Bytes block_size = 32 * kKiB;
  uint32_t request_slots = 2;
  Bytes request_buffer_size = kMiB + 2 * kPageSize;
};

/// First page of the metadata memfd. Durable; constant once created, but for `inode_generation_floor_word` and
/// `changed_options`.
struct ImageHeader {
  static constexpr uint64_t kMagic = 0x7366706d747a0001;  // "ztmpfs", reversed, and a byte order mark
  static constexpr uint32_t kLayoutVersion = 3;

  std::atomic<uint64_t> magic;  ///< stored last: an image without it is not finished
  uint32_t layout_version;
  uint32_t request_slots;
  ImageGeometry geometry;
  std::array<uint64_t, 2> identity;  ///< random, the same for the life of the image
  struct Extent {
    Bytes offset;
    Bytes length;
  };
  std::array<Extent, size_t(RegionId::kCount)> regions;
  /// inode_generation_floor() and, in the upper half, its complement; 0 at first.
  std::atomic<uint64_t> inode_generation_floor_word;
  /// Options that were changed while mounted, "size=...,hot=...": they replace those the server is started with.
  DurableText changed_options;

  /// No inode on a page of the table that was given back had a higher generation.
  uint32_t inode_generation_floor() const {
    return uint32_t(inode_generation_floor_word.load(std::memory_order_relaxed));
  }
  void set_inode_generation_floor(uint32_t floor) {
    durable_store(inode_generation_floor_word, uint64_t(~floor) << 32 | floor);
  }
};

/// Whether what a process does to an image is done to its files.
enum class ImageAccess {
  kShared,
  kPrivate,  ///< the files stay as they are: what is stored is this process's own, and so is what is given back
};

/// Which pages were made resident and given back under ImageAccess::kPrivate: what the file does not know. Thread-safe.
class PrivatePages;

/// A page-aligned part of a mapped memfd. Not owning; valid as long as its Image.
class Region {
 public:
  Region() = default;
  /// `private_pages` is nullptr under ImageAccess::kShared.
  Region(std::byte* base, Bytes length, int fd, Bytes fd_offset, PrivatePages* private_pages = nullptr)
      : base_(base), length_(length), fd_(fd), fd_offset_(fd_offset), private_pages_(private_pages) {}
  Region part(Bytes offset, Bytes length) const {
    return Region(base_ + offset, length, fd_, fd_offset_ + offset, private_pages_);
  }

  std::byte* base() const { return base_; }
  Bytes length() const { return length_; }
  /// Gives the pages of [offset, offset + length) back to the OS; they read as zeros afterwards. Under
  /// ImageAccess::kPrivate they only count as not resident.
  void punch(Bytes offset, Bytes length) const;
  /// Makes the pages resident and writable in this process's page table (MADV_POPULATE_WRITE).
  /// False if the kernel has no memory for them.
  [[nodiscard]] bool populate(Bytes offset, Bytes length) const;
  /// Puts pages that are resident into this process's page table (MADV_POPULATE_READ), which takes longer one by one.
  void prefault(Bytes offset, Bytes length) const;
  /// Calls visit(offset, length) for each run of pages that are resident, in ascending order.
  template <class Visitor>
  void for_each_resident(Visitor&& visit) const {
    Bytes offset = 0;
    Bytes length = 0;
    while (next_resident(offset + length, offset, length)) visit(offset, length);
  }

 private:
  bool next_resident(Bytes from, Bytes& offset, Bytes& length) const;

  std::byte* base_ = nullptr;
  Bytes length_ = 0;
  int fd_ = -1;
  Bytes fd_offset_ = 0;
  PrivatePages* private_pages_ = nullptr;
};

/// The descriptors of an image: all that a holder needs to keep.
struct ImageFiles {
  UniqueFd meta;     ///< header and tables
  UniqueFd data;     ///< the arena
  UniqueFd buffers;  ///< request buffers

  /// Makes the memfds and writes the header. Throws std::system_error.
  static ImageFiles create(const ImageGeometry& geometry);
  /// ImageHeader::changed_options of an image that nobody serves now. Throws std::runtime_error if it is none.
  std::string changed_options() const;
  /// Empties it, for another mount of the same contents. As changed_options().
  void forget_changed_options() const;
  /// That of the header, of an image of this version. Throws std::runtime_error.
  ImageGeometry geometry() const;
  /// Memory that the image holds now.
  Bytes allocated() const;
  /// Puts it into the MountRecord, while there is no server. Throws std::length_error, std::system_error.
  void describe_mount(const MountDescription& description) const;
  /// What describe_mount() has put there. Throws std::invalid_argument if it was nothing, std::runtime_error if it is
  /// no image of this layout version.
  MountDescription mount_description() const;
};

/// The SupervisionRecord of an image, mapped alone: a holder maps nothing else.
class SupervisionPage {
 public:
  /// Borrows the descriptor for the call. Throws std::runtime_error if it is no image of this layout version.
  explicit SupervisionPage(int meta);
  ~SupervisionPage();
  SupervisionPage(const SupervisionPage&) = delete;
  SupervisionPage& operator=(const SupervisionPage&) = delete;

  SupervisionRecord& record() const { return *record_; }

 private:
  SupervisionRecord* record_;
};

/// The state of a mount, mapped into this process (DESIGN: "Crash survival"). Everything durable lies in it.
class Image {
 public:
  /// Maps the files; throws std::runtime_error with the reason if they are not an image of this layout version.
  explicit Image(ImageFiles files, ImageAccess access = ImageAccess::kShared);
  ~Image();
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;

  ImageHeader& header() const { return *reinterpret_cast<ImageHeader*>(meta_.base()); }
  const ImageGeometry& geometry() const { return header().geometry; }
  SupervisionRecord& supervision() const {
    return *reinterpret_cast<SupervisionRecord*>(region(RegionId::kSupervision).base());
  }
  Region meta() const { return meta_; }
  Region region(RegionId id) const;
  Region data() const { return data_; }
  /// The buffer of one reader, from the buffers memfd.
  Region buffer(uint32_t slot) const;
  /// Memory that the image holds now: the sum of its files' blocks.
  Bytes allocated() const;
  const ImageFiles& files() const { return files_; }

 private:
  Region map_file(const UniqueFd& file, ImageAccess access);
  void unmap();

  ImageFiles files_;
  std::vector<std::unique_ptr<PrivatePages>> private_pages_;  // one per file, under ImageAccess::kPrivate
  Region meta_;
  Region data_;
  Region buffers_;
};

}  // namespace ztmpfs
