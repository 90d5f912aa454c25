// What lies in a reader's buffer when a server attaches may be damaged: it is refused, not served and not executed.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <stdexcept>

#include "fuse/fuse_server.h"
#include "tests/support/served_volume.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;

class DamagedSlot : public testing::Test {
 protected:
  DamagedSlot() {
    served_.start();
    EXPECT_TRUE(served_.caller().mkdir(kRoot, "directory", 0755));
    served_.stop();
  }

  RequestSlot slot(uint32_t number) { return RequestSlot(served_.volume().image(), number); }

  // Why a server does not serve; empty if it does, on a connection that ends at once.
  std::string refusal() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends.data()), 0);
    const UniqueFd server_end(ends[0]);
    UniqueFd kernel_end(ends[1]);
    kernel_end.reset();
    try {
      FuseServer(server_end.get(), served_.volume(), busy_readers()).run();
      return "";
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  }

  ServedVolume served_;
};

TEST_F(DamagedSlot, TheOneThatIsNotDamagedIsServed) { EXPECT_EQ(refusal(), ""); }

TEST_F(DamagedSlot, AnyBitOfTheRequestThatBeganTheConnection) {
  ReaderRecord& record = slot(0).reader();
  const size_t length = record.init_length;
  ASSERT_GT(length, 0u);
  const auto flip = [&](void* bytes, size_t bit) { static_cast<uint8_t*>(bytes)[bit / 8] ^= uint8_t(1U << bit % 8); };
  for (size_t bit = 0; bit < length * 8; ++bit) {
    flip(record.init.data(), bit);
    ASSERT_NE(refusal().find("damaged"), std::string::npos) << "bit " << bit;
    flip(record.init.data(), bit);
  }
  for (size_t bit = 0; bit < 64; ++bit) {  // its length, and the checksum
    flip(&record.init_length, bit);
    ASSERT_NE(refusal().find("damaged"), std::string::npos) << "bit " << bit;
    flip(&record.init_length, bit);
  }
  EXPECT_EQ(refusal(), "");
}

// Executed again it would change what others have changed since.
TEST_F(DamagedSlot, ARequestThatWasFinishedDoesNotComeBack) {
  auto& header = const_cast<fuse_in_header&>(slot(1).header());
  header.opcode = FUSE_RMDIR;
  for (size_t bit = 0; bit < 64; ++bit) {
    header.unique = 1ULL << bit;
    ASSERT_NE(refusal().find("is there again"), std::string::npos) << "bit " << bit;
  }
  slot(1).clear();
  EXPECT_EQ(refusal(), "");
}

}  // namespace
}  // namespace ztmpfs
