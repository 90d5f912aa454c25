#include "base/image.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
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

namespace ztmpfs {

namespace {

// Each size class keeps its own address ranges of the arena, so address space must exceed memory by some factor.
constexpr Bytes kArenaCapacityFactor = 4;

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

Region map_file(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) throw_errno("cannot inspect a memory file (fstat)");
  const auto length = Bytes(status.st_size);
  if (length == 0 || length % kPageSize != 0) throw std::runtime_error("the image is truncated");
  void* base = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (base == MAP_FAILED) throw_errno("cannot map a memory file of " + format_bytes(length));
  ::madvise(base, length, MADV_DONTDUMP);
  return Region(static_cast<std::byte*>(base), length, fd, 0);
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
      throw_errno("cannot read the image's header");
  }
  ImageHeader& operator*() { return *reinterpret_cast<ImageHeader*>(bytes.data()); }
  const ImageHeader& operator*() const { return *reinterpret_cast<const ImageHeader*>(bytes.data()); }
  ImageHeader* operator->() { return &**this; }
  const ImageHeader* operator->() const { return &**this; }
  off_t offset_of(RegionId id) const { return off_t((*this)->regions[size_t(id)].offset); }
};

void validate(const ImageHeader& header, Bytes meta_length, Bytes data_length, Bytes buffers_length) {
  validate_kind(header);
  const auto& last = header.regions.back();
  if (last.offset + last.length != meta_length || header.geometry.capacity * kArenaCapacityFactor != data_length ||
      header.geometry.request_slots * header.geometry.request_buffer_size != buffers_length)
    throw std::runtime_error("the image's files do not have the sizes its header tells");
}

}  // namespace

void Region::punch(Bytes offset, Bytes length) const {
  ZTMPFS_CHECK(offset % kPageSize == 0 && length % kPageSize == 0 && offset + length <= length_, "punch out of range");
  kill_point();
  const int result =
      ::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off_t(fd_offset_ + offset), off_t(length));
  ZTMPFS_CHECK(result == 0, "a memfd refuses to give pages back");
}

bool Region::populate(Bytes offset, Bytes length) const {
  kill_point();
  return ::madvise(base_ + offset, length, MADV_POPULATE_WRITE) == 0;
}

bool Region::next_resident(Bytes from, Bytes& offset, Bytes& length) const {
  if (from >= length_) return false;
  const off_t start = ::lseek(fd_, off_t(fd_offset_ + from), SEEK_DATA);
  if (start < 0 || Bytes(start) >= fd_offset_ + length_) return false;
  const off_t end = ::lseek(fd_, start, SEEK_HOLE);
  offset = Bytes(start) - fd_offset_;
  length = std::min(Bytes(end) - fd_offset_, length_) - offset;
  return true;
}

ImageFiles ImageFiles::create(const ImageGeometry& geometry) {
  ZTMPFS_CHECK(geometry.capacity % kPageSize == 0 && geometry.request_buffer_size % kPageSize == 0,
               "unaligned geometry");
  ZTMPFS_CHECK(geometry.request_slots <= SupervisionRecord::kSlotsMax, "too many request slots");
  alignas(ImageHeader) std::array<std::byte, sizeof(ImageHeader)> storage{};
  auto* header = new (storage.data()) ImageHeader{};
  Bytes offset = 0;
  for (size_t id = 0; id < header->regions.size(); ++id) {
    header->regions[id] = {offset, region_length(RegionId(id), geometry)};
    offset += header->regions[id].length;
  }
  header->layout_version = ImageHeader::kLayoutVersion;
  header->request_slots = geometry.request_slots;
  header->geometry = geometry;
  if (::getrandom(header->identity.data(), sizeof(header->identity), 0) < 0)
    throw_errno("no random numbers (getrandom)");
  header->magic = ImageHeader::kMagic;

  ImageFiles files{make_memfd("ztmpfs-meta", offset),
                   make_memfd("ztmpfs-data", geometry.capacity * kArenaCapacityFactor),
                   make_memfd("ztmpfs-buffers", geometry.request_slots * geometry.request_buffer_size)};
  if (::pwrite(files.meta.get(), storage.data(), storage.size(), 0) != ssize_t(storage.size()))
    throw_errno("cannot write the image's header");
  return files;
}

std::string ImageFiles::changed_options() const { return LoadedHeader(meta.get())->changed_options.load(); }

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
  const auto record = std::make_unique<MountRecord>();
  const off_t offset = LoadedHeader(meta.get()).offset_of(RegionId::kMount);
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

Image::Image(ImageFiles files) : files_(std::move(files)) {
  try {
    meta_ = map_file(files_.meta.get());
    data_ = map_file(files_.data.get());
    buffers_ = map_file(files_.buffers.get());
    validate(header(), meta_.length(), data_.length(), buffers_.length());
  } catch (...) {
    unmap();
    throw;
  }
}

Image::~Image() { unmap(); }

void Image::unmap() {
  for (const Region& region : {meta_, data_, buffers_})
    if (region.base() != nullptr) ::munmap(region.base(), region.length());
}

Region Image::region(RegionId id) const {
  const auto& extent = header().regions[size_t(id)];
  return Region(meta_.base() + extent.offset, extent.length, files_.meta.get(), extent.offset);
}

Region Image::buffer(uint32_t slot) const {
  const Bytes size = geometry().request_buffer_size;
  return Region(buffers_.base() + slot * size, size, files_.buffers.get(), slot * size);
}

Bytes Image::allocated() const {
  return allocated_memory(files_.meta.get()) + allocated_memory(files_.data.get()) +
         allocated_memory(files_.buffers.get());
}

}  // namespace ztmpfs
