// A program is asked whether it could take over the image that another one serves.
#include "daemon/probe.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/daemon/probed_image.h"

namespace ztmpfs {
namespace {

std::string ask(ProbedImage& image, std::vector<std::string> arguments = ProbedImage::arguments()) {
  arguments.insert(arguments.begin(), "--probe=");
  return find_takeover_obstacle(image.files(), arguments);
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

TEST(Probe, ThisProgramCouldTakeOverItself) {
  for (const char* options : {"xattr", "acl", "hot=16M", "codec=lz4,allow_other"}) {
    ProbedImage image(options);
    EXPECT_EQ(ask(image, ProbedImage::arguments(options)), "") << options;
    EXPECT_TRUE(image.is_served());
  }
}

TEST(Probe, AConnectionThatHasNotBegunIsNoObstacle) {
  ServedVolume served;
  std::vector<std::string> arguments = ProbedImage::arguments();
  arguments.insert(arguments.begin(), "--probe=");
  EXPECT_EQ(find_takeover_obstacle(duplicate(served.volume().image().files()), arguments), "");
}

TEST(Probe, ChangesNothingInTheImage) {
  ProbedImage image;
  const Image& running = image.served().volume().image();
  const auto all_bytes = [&] {
    std::vector<std::byte> bytes;
    for (const Region& region :
         {running.region(RegionId::kHeader), running.region(RegionId::kRequests), running.buffer(0), running.buffer(1)})
      bytes.insert(bytes.end(), region.base(), region.base() + region.length());
    return bytes;
  };
  EXPECT_TRUE(image.is_served());
  image.served().stop();                  // the server itself writes there
  const auto bytes_before = all_bytes();  // reading makes pages
  const Bytes before = running.allocated();
  EXPECT_EQ(ask(image), "");
  EXPECT_EQ(running.allocated(), before);
  EXPECT_EQ(all_bytes(), bytes_before);
}

TEST(Probe, AnotherLayoutIsAnObstacle) {
  ProbedImage image;
  ++image.header().layout_version;
  const std::string sentence = ask(image);
  EXPECT_TRUE(has(sentence, "layout version")) << sentence;
  --image.header().layout_version;
  image.header().magic = 1;
  EXPECT_TRUE(has(ask(image), "not an image of ztmpfs"));
  image.header().magic = ImageHeader::kMagic;
  image.header().request_slots = image.header().geometry.request_slots = 3;
  EXPECT_TRUE(has(ask(image), "sizes"));
}

TEST(Probe, AnotherBlockSizeIsAnObstacle) {
  ProbedImage image;
  const std::string sentence = ask(image, ProbedImage::arguments("xattr,block=64K"));
  EXPECT_TRUE(has(sentence, "blocks of 64")) << sentence;
}

TEST(Probe, OtherFeaturesAreAnObstacle) {
  ProbedImage image("xattr");
  EXPECT_TRUE(has(ask(image, ProbedImage::arguments("hot=16M")), "xattr (1 then, 0 now)"));
  EXPECT_TRUE(has(ask(image, ProbedImage::arguments("acl")), "flags ("));
  // Something that this program would have answered otherwise in another version.
  reinterpret_cast<fuse_init_out*>(image.record().negotiation.reply.data())->max_write = 4096;
  const std::string sentence = ask(image);
  EXPECT_TRUE(has(sentence, "max_write (4096 then, ")) << sentence;
  EXPECT_TRUE(image.is_served());
}

TEST(Probe, OptionsThatAreNotUnderstoodAreAnObstacle) {
  ProbedImage image;
  std::vector<std::string> arguments = ProbedImage::arguments();
  ASSERT_EQ(arguments.front(), "-o");
  arguments[1] += ",from_the_future=1";
  const std::string sentence = ask(image, arguments);
  EXPECT_TRUE(has(sentence, "from_the_future")) << sentence;
}

TEST(Probe, ADamagedInitIsAnObstacle) {
  const auto damage = [](void (*change)(ReaderRecord&)) {
    ProbedImage image;
    change(image.record());
    return ask(image);
  };
  EXPECT_TRUE(has(damage([](ReaderRecord& record) { record.init_length = 4; }), "damaged"));
  EXPECT_TRUE(has(damage([](ReaderRecord& record) { record.init_length = 1'000'000; }), "damaged"));
  EXPECT_TRUE(has(damage([](ReaderRecord& record) {
                    reinterpret_cast<fuse_in_header*>(record.init.data())->opcode = FUSE_GETATTR;
                  }),
                  "damaged"));
  EXPECT_TRUE(has(damage([](ReaderRecord& record) {
                    auto init = record.init;
                    auto* header = reinterpret_cast<fuse_in_header*>(init.data());
                    reinterpret_cast<fuse_init_in*>(header + 1)->major = 6;
                    record.save_init(std::span(init).first(record.init_length));
                  }),
                  "protocol does not fit"));
}

}  // namespace
}  // namespace ztmpfs
