#include "daemon/server_descriptors.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace ztmpfs {
namespace {

UniqueFd open_null() { return UniqueFd(::open("/dev/null", O_RDWR)); }

ServerDescriptors all_descriptors() {
  return {.fuse = open_null(),
          .image = {.meta = open_null(), .data = open_null(), .buffers = open_null()},
          .ready = open_null(),
          .orders = open_null(),
          .lock = open_null(),
          .control = open_null(),
          .device = "0:52"};
}

TEST(ServerDescriptors, ArgumentNamesThemAll) {
  ServerDescriptors given = all_descriptors();
  const int lock = given.lock.get();
  ServerDescriptors taken = parse_server_argument(format_server_argument(given));
  EXPECT_EQ(taken.fuse.get(), given.fuse.get());
  EXPECT_EQ(taken.image.buffers.get(), given.image.buffers.get());
  EXPECT_EQ(taken.lock.get(), lock);
  EXPECT_EQ(taken.device, "0:52");
  EXPECT_EQ(::fcntl(lock, F_GETFD), FD_CLOEXEC);
  // `taken` owns them now.
  for (UniqueFd* fd : given.all()) fd->release();
}

TEST(ServerDescriptors, TheImageAloneIsToldToAProbe) {
  ImageFiles given{.meta = open_null(), .data = open_null(), .buffers = open_null()};
  ImageFiles taken = parse_image_argument(kProbeArgument, format_image_argument(kProbeArgument, given));
  EXPECT_EQ(taken.meta.get(), given.meta.get());
  EXPECT_EQ(taken.data.get(), given.data.get());
  EXPECT_EQ(taken.buffers.get(), given.buffers.get());
  for (UniqueFd* fd : {&given.meta, &given.data, &given.buffers}) fd->release();
  for (const char* argument : {"--probe=", "--probe=x", "--probe=999999,4", "--server=0,1,2"})
    EXPECT_THROW(parse_image_argument(kProbeArgument, argument), std::invalid_argument) << argument;
}

TEST(ServerDescriptors, ArgumentByHandIsRefused) {
  for (const char* argument : {"--server=", "--server=x", "--server=999999,4", "--other"})
    EXPECT_THROW(parse_server_argument(argument), std::invalid_argument) << argument;
}

}  // namespace
}  // namespace ztmpfs
