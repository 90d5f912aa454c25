#include "tests/support/request_fuzzer.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "fuse/request_check.h"
#include "tests/support/fake_caller.h"
#include "tests/support/served_volume.h"

namespace ztmpfs {

namespace {

constexpr uint8_t kFixLength = 1 << 0;
constexpr uint8_t kFixUnique = 1 << 1;
constexpr uint8_t kFixOpcode = 1 << 2;
constexpr uint8_t kFixNodeid = 1 << 3;
constexpr uint64_t kNodeidMax = 16;

void put_right(std::span<std::byte> request, uint8_t fixes) {
  fuse_in_header header{};
  std::memcpy(&header, request.data(), sizeof(header));
  if ((fixes & kFixLength) != 0) header.len = uint32_t(request.size());
  if ((fixes & kFixUnique) != 0) header.unique |= 2;
  if ((fixes & kFixOpcode) != 0) header.opcode %= kOpcodeCount;
  if ((fixes & kFixNodeid) != 0) header.nodeid %= kNodeidMax;
  std::memcpy(request.data(), &header, sizeof(header));
}

// Takes the replies away and checks that they are one message of the length it tells.
bool take_reply(int fd) {
  struct stat status{};
  ZTMPFS_CHECK(::fstat(fd, &status) == 0, "no replies");
  if (status.st_size == 0) return false;
  fuse_out_header header{};
  ZTMPFS_CHECK(::pread(fd, &header, sizeof(header), 0) == sizeof(header), "a reply is too short");
  ZTMPFS_CHECK(header.len == status.st_size, "more than one reply");
  ZTMPFS_CHECK(header.unique != 0, "a reply that the kernel takes for a notification");
  ZTMPFS_CHECK(::ftruncate(fd, 0) == 0 && ::lseek(fd, 0, SEEK_SET) == 0, "replies stay");
  return true;
}

}  // namespace

RequestFuzzer::RequestFuzzer() : replies_(::memfd_create("replies", MFD_CLOEXEC)) {
  VolumeOptions options = small_volume();
  options.root.acl = true;
  volume_ = std::make_unique<Volume>(ImageFiles::create(fake_kernel_geometry()), options, clock_);
  reader_ = std::make_unique<Reader>(replies_.get(), volume_->image(), 0, volume_->fs(), hooks_,
                                     RequestFeatures{.xattr = true, .acl = true});
  fuse_init_in argument{};
  argument.major = FUSE_KERNEL_VERSION;
  argument.minor = FUSE_KERNEL_MINOR_VERSION;
  fuse_in_header header{};
  header.opcode = FUSE_INIT;
  auto init = make_argument(header);
  const auto tail = make_argument(argument);
  init.insert(init.end(), tail.begin(), tail.end());
  reader_->initialize(init);
}

RequestFuzzer::~RequestFuzzer() = default;

void RequestFuzzer::feed(std::span<const uint8_t> input) {
  if (input.empty()) return;
  const auto space = reader_->slot().request_space();
  const auto bytes = std::as_bytes(input.subspan(1, std::min(input.size() - 1, space.size())));
  std::ranges::copy(bytes, space.begin());
  const auto request = space.first(bytes.size());
  if (request.size() >= sizeof(fuse_in_header)) put_right(request, input[0]);
  bool is_answerable = false;
  if (check_request(request, reader_->slot().transfer_max(), reader_->features()) != RequestVerdict::kDrop) {
    const OpcodeInfo* info = opcode_info(reader_->slot().header().opcode);
    is_answerable = info == nullptr || info->answered;
  }
  reader_->process(request.size());
  ZTMPFS_CHECK(take_reply(replies_.get()) == is_answerable, "a request has not as many replies as it should");
  ZTMPFS_CHECK(!reader_->slot().is_pending(), "a request is not finished");
}

}  // namespace ztmpfs
