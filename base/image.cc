#include "base/image.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <tuple>

#include "base/check.h"
#include "base/durable_store.h"
#include "base/memory_usage.h"
#include "base/mutex.h"

namespace ztmpfs {

namespace {

// Each size class keeps its own address ranges of the arena, so address space must exceed memory by some factor.
constexpr Bytes kArenaCapacityFactor = 4;
constexpr Bytes kBlockSizeMax = 128 * kKiB;

static_assert(sizeof(ImageHeader) <= kPageSize);

[[noreturn]] void throw_errno(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

UniqueFd make_memfd(const char* name, Bytes length) {
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC));
  if (!fd) throw_errno("cannot create a memory file (memfd_create)");
  if (::ftruncate(fd.get(), off_t(length)) != 0) throw_errno("cannot size a memory file (ftruncate)");
  return fd;
}

Bytes region_length(RegionId id, const ImageGeometry& geometry) {
  switch (id) {
    case RegionId::kHeader:
    case RegionId::kSupervision: return kPageSize;
    case RegionId::kMount: return round_up(sizeof(MountRecord), kPageSize);
    // Generous: the record's type belongs to a higher layer, which checks that it fits.
    case RegionId::kRequests: return Bytes(geometry.request_slots) * 2 * kPageSize;
    // No record is smaller than the memory it takes, so no table can outgrow the memory cap.
    default: return round_up(geometry.capacity, kPageSize);
  }
}

using Extents = std::array<ImageHeader::Extent, size_t(RegionId::kCount)>;

Extents extents_of(const ImageGeometry& geometry) {
  Extents extents{};
  Bytes offset = 0;
  for (size_t id = 0; id < extents.size(); ++id) {
    extents[id] = {offset, region_length(RegionId(id), geometry)};
    offset += extents[id].length;
  }
  return extents;
}

// Before anything else of the header is believed.
void validate_kind(const ImageHeader& header) {
  if (header.magic.load(std::memory_order_acquire) != ImageHeader::kMagic)
    throw std::runtime_error("this is not an image of ztmpfs (wrong magic number)");
  if (header.layout_version != ImageHeader::kLayoutVersion)
    throw std::runtime_error("the image has layout version " + std::to_string(header.layout_version) +
                             ", this program reads version " + std::to_string(ImageHeader::kLayoutVersion));
}

// The header of an image that is not mapped.
struct LoadedHeader {
  alignas(ImageHeader) std::array<std::byte, sizeof(ImageHeader)> bytes{};

  explicit LoadedHeader(int meta) {
    if (::pread(meta, bytes.data(), bytes.size(), 0) != ssize_t(bytes.size()))
      throw std::runtime_error("the image is truncated");
  }
  ImageHeader& operator*() { return *reinterpret_cast<ImageHeader*>(bytes.data()); }
  const ImageHeader& operator*() const { return *reinterpret_cast<const ImageHeader*>(bytes.data()); }
  ImageHeader* operator->() { return &**this; }
  const ImageHeader* operator->() const { return &**this; }
  off_t offset_of(RegionId id) const { return off_t((*this)->regions[size_t(id)].offset); }
};

// Each number of the geometry is told twice, by the header and by the lengths of the files: a wrong one is found.
void validate(const ImageHeader& header, Bytes meta_length, Bytes data_length, Bytes buffers_length) {
  validate_kind(header);
  const ImageGeometry& geometry = header.geometry;
  if (!std::has_single_bit(geometry.block_size) || geometry.block_size < kPageSize ||
      geometry.block_size > kBlockSizeMax)
    throw std::runtime_error("the image is damaged: its header tells a block size of " +
                             std::to_string(geometry.block_size) + " bytes");
  // Divided, not multiplied: no number of the header may overflow.
  const bool fits = geometry.request_slots != 0 && geometry.request_slots == header.request_slots &&
                    geometry.request_slots <= SupervisionRecord::kSlotsMax && data_length % kArenaCapacityFactor == 0 &&
                    geometry.capacity == data_length / kArenaCapacityFactor &&
                    buffers_length % geometry.request_slots == 0 &&
                    geometry.request_buffer_size == buffers_length / geometry.request_slots;
  const Extents extents = fits ? extents_of(geometry) : Extents{};
  if (!fits || extents.back().offset + extents.back().length != meta_length)
    throw std::runtime_error("the image's files do not have the sizes its header tells");
  if (std::memcmp(&extents, &header.regions, sizeof(extents)) != 0)
    throw std::runtime_error("the image is damaged: its header tells other regions than its geometry");
  const uint64_t floor = header.inode_generation_floor_word.load(std::memory_order_relaxed);
  if (floor != 0 && (uint32_t(floor) == UINT32_MAX || uint32_t(floor >> 32) != ~uint32_t(floor)))
    throw std::runtime_error("the image is damaged: its header tells no generation that inodes can have");
}

}  // namespace

class PrivatePages {
 public:
  enum class State : uint8_t { kAsInFile, kPunched, kPopulated };

  void set(Bytes offset, Bytes length, State state) {
    MutexLock lock(mutex_);
    const size_t end = (offset + length) / kPageSize;
    if (states_.size() < end) states_.resize(end);
    std::fill(states_.begin() + ptrdiff_t(offset / kPageSize), states_.begin() + ptrdiff_t(end), state);
  }
  /// The first run of resident pages of the file in [begin, end); false if there is none.
  bool next_run(int fd, Bytes begin, Bytes end, Bytes& run_begin, Bytes& run_end) const {
    MutexLock lock(mutex_);
    run_begin = end;
    for (Bytes at = begin, until = at; at < end; at = until) {
      const State state = at / kPageSize < states_.size() ? states_[at / kPageSize] : State::kAsInFile;
      bool is_resident = state == State::kPopulated;
      until = at + kPageSize;
      if (state == State::kAsInFile) {
        const auto special = std::find_if(states_.begin() + ptrdiff_t(std::min(at / kPageSize, states_.size())),
                                          states_.end(), [](State other) { return other != State::kAsInFile; });
        until = special == states_.end() ? end : std::min(end, Bytes(special - states_.begin()) * kPageSize);
        const off_t data = ::lseek(fd, off_t(at), SEEK_DATA);
        is_resident = data == off_t(at);
        if (data >= 0) until = std::min(until, Bytes(is_resident ? ::lseek(fd, data, SEEK_HOLE) : data));
      }
      if (is_resident && run_begin == end) run_begin = at;
      if (is_resident) run_end = until;
      if (!is_resident && run_begin != end) break;
    }
    return run_begin != end;
  }

 private:
  mutable Mutex mutex_;
  std::vector<State> states_ GUARDED_BY(mutex_);  // by page of the file
};

void Region::punch(Bytes offset, Bytes length) const {
  ZTMPFS_CHECK(offset % kPageSize == 0 && length % kPageSize == 0 && offset + length <= length_, "punch out of range");
  if (private_pages_ != nullptr) return private_pages_->set(fd_offset_ + offset, length, PrivatePages::State::kPunched);
  kill_point();
  const int result =
      ::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off_t(fd_offset_ + offset), off_t(length));
  ZTMPFS_CHECK(result == 0, "a memfd refuses to give pages back");
}

bool Region::populate(Bytes offset, Bytes length) const {
  kill_point();
  if (::madvise(base_ + offset, length, MADV_POPULATE_WRITE) != 0) return false;
  if (private_pages_ != nullptr) private_pages_->set(fd_offset_ + offset, length, PrivatePages::State::kPopulated);
  return true;
}

void Region::prefault(Bytes offset, Bytes length) const { ::madvise(base_ + offset, length, MADV_POPULATE_READ); }

bool Region::next_resident(Bytes from, Bytes& offset, Bytes& length) const {
  if (from >= length_) return false;
  const Bytes region_end = fd_offset_ + length_;
  Bytes begin = 0;
  Bytes end = 0;
  if (private_pages_ != nullptr) {
    if (!private_pages_->next_run(fd_, fd_offset_ + from, region_end, begin, end)) return false;
  } else {
    const off_t data = ::lseek(fd_, off_t(fd_offset_ + from), SEEK_DATA);
    if (data < 0 || Bytes(data) >= region_end) return false;
    begin = Bytes(data);
    end = std::min(Bytes(::lseek(fd_, data, SEEK_HOLE)), region_end);
  }
  offset = begin - fd_offset_;
  length = end - begin;
  return true;
}

ImageFiles ImageFiles::create(const ImageGeometry& geometry) {
  ZTMPFS_CHECK(geometry.capacity % kPageSize == 0 && geometry.request_buffer_size % kPageSize == 0,
               "unaligned geometry");
  ZTMPFS_CHECK(geometry.request_slots <= SupervisionRecord::kSlotsMax, "too many request slots");
  alignas(ImageHeader) std::array<std::byte, sizeof(ImageHeader)> storage{};
  auto* header = new (storage.data()) ImageHeader{};
  header->regions = extents_of(geometry);
  const auto& last = header->regions.back();
  header->layout_version = ImageHeader::kLayoutVersion;
  header->request_slots = geometry.request_slots;
  header->geometry = geometry;
  if (::getrandom(header->identity.data(), sizeof(header->identity), 0) < 0)
    throw_errno("no random numbers (getrandom)");
  header->magic = ImageHeader::kMagic;

  ImageFiles files{make_memfd("ztmpfs-meta", last.offset + last.length),
                   make_memfd("ztmpfs-data", geometry.capacity * kArenaCapacityFactor),
                   make_memfd("ztmpfs-buffers", geometry.request_slots * geometry.request_buffer_size)};
  if (::pwrite(files.meta.get(), storage.data(), storage.size(), 0) != ssize_t(storage.size()))
    throw_errno("cannot write the image's header");
  return files;
}

std::string ImageFiles::changed_options() const {
  const LoadedHeader header(meta.get());
  validate_kind(*header);
  return header->changed_options.load();
}

void ImageFiles::forget_changed_options() const {
  LoadedHeader header(meta.get());
  header->changed_options.store("");
  constexpr size_t kOffset = offsetof(ImageHeader, changed_options);
  if (::pwrite(meta.get(), header.bytes.data() + kOffset, sizeof(DurableText), off_t(kOffset)) !=
      ssize_t(sizeof(DurableText)))
    throw_errno("cannot write to the image");
}

ImageGeometry ImageFiles::geometry() const {
  const LoadedHeader header(meta.get());
  validate_kind(*header);
  return header->geometry;
}

Bytes ImageFiles::allocated() const {
  return allocated_memory(meta.get()) + allocated_memory(data.get()) + allocated_memory(buffers.get());
}

void ImageFiles::describe_mount(const MountDescription& description) const {
  const std::string text = description.format();
  const auto length = uint32_t(text.size());
  const off_t offset = LoadedHeader(meta.get()).offset_of(RegionId::kMount);
  const off_t text_offset = offset + off_t(offsetof(MountRecord, text));
  constexpr uint32_t kNothing = 0;
  for (const auto& [bytes, size, at] : {std::tuple<const void*, size_t, off_t>{&kNothing, sizeof(kNothing), offset},
                                        {text.data(), text.size(), text_offset},
                                        {&length, sizeof(length), offset}})
    if (::pwrite(meta.get(), bytes, size, at) != ssize_t(size)) throw_errno("cannot write to the image");
}

MountDescription ImageFiles::mount_description() const {
  const LoadedHeader header(meta.get());
  validate_kind(*header);
  const auto record = std::make_unique<MountRecord>();
  const off_t offset = header.offset_of(RegionId::kMount);
  if (::pread(meta.get(), record.get(), sizeof(MountRecord), offset) != ssize_t(sizeof(MountRecord)))
    throw_errno("cannot read the image");
  return MountDescription::parse({record->text.data(), std::min<size_t>(record->length, record->text.size())});
}

SupervisionPage::SupervisionPage(int meta) {
  const LoadedHeader header(meta);
  validate_kind(*header);
  void* page =
      ::mmap(nullptr, kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED, meta, header.offset_of(RegionId::kSupervision));
  if (page == MAP_FAILED) throw_errno("cannot map a page of the image");
  record_ = static_cast<SupervisionRecord*>(page);
}

SupervisionPage::~SupervisionPage() { ::munmap(record_, kPageSize); }

Image::Image(ImageFiles files, ImageAccess access) : files_(std::move(files)) {
  try {
    meta_ = map_file(files_.meta, access);
    data_ = map_file(files_.data, access);
    buffers_ = map_file(files_.buffers, access);
    validate(header(), meta_.length(), data_.length(), buffers_.length());
  } catch (...) {
    unmap();
    throw;
  }
}

Image::~Image() { unmap(); }

Region Image::map_file(const UniqueFd& file, ImageAccess access) {
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) throw_errno("cannot inspect a memory file (fstat)");
  const auto length = Bytes(status.st_size);
  if (length == 0 || length % kPageSize != 0) throw std::runtime_error("the image is truncated");
  const int sharing = access == ImageAccess::kShared ? MAP_SHARED : MAP_PRIVATE;
  void* base = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, sharing | MAP_NORESERVE, file.get(), 0);
  if (base == MAP_FAILED) throw_errno("cannot map a memory file of " + format_bytes(length));
  ::madvise(base, length, MADV_DONTDUMP);
  PrivatePages* private_pages = nullptr;
  if (access == ImageAccess::kPrivate)
    private_pages = private_pages_.emplace_back(std::make_unique<PrivatePages>()).get();
  return Region(static_cast<std::byte*>(base), length, file.get(), 0, private_pages);
}

void Image::unmap() {
  for (const Region& region : {meta_, data_, buffers_})
    if (region.base() != nullptr) ::munmap(region.base(), region.length());
}

Region Image::region(RegionId id) const {
  const auto& extent = header().regions[size_t(id)];
  return meta_.part(extent.offset, extent.length);
}

Region Image::buffer(uint32_t slot) const {
  const Bytes size = geometry().request_buffer_size;
  return buffers_.part(slot * size, size);
}

Bytes Image::allocated() const { return files_.allocated(); }

}  // namespace ztmpfs
