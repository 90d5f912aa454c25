#include "base/bytes.h"

#include <gtest/gtest.h>

namespace ztmpfs {
namespace {

TEST(ParseBytes, ReadsNumbersWithAndWithoutUnits) {
  EXPECT_EQ(parse_bytes("0", 0), 0u);
  EXPECT_EQ(parse_bytes("4096", 0), 4096u);
  EXPECT_EQ(parse_bytes("64K", 0), 65536u);
  EXPECT_EQ(parse_bytes("64k", 0), 65536u);
  EXPECT_EQ(parse_bytes("3m", 0), 3 * kMiB);
  EXPECT_EQ(parse_bytes("1.5G", 0), kGiB + kGiB / 2);
  EXPECT_EQ(parse_bytes("2T", 0), 2048 * kGiB);
}

TEST(ParseBytes, TakesPercentOfTheWhole) {
  EXPECT_EQ(parse_bytes("25%", 4 * kGiB), kGiB);
  EXPECT_EQ(parse_bytes("0.5%", 20000), 100u);
  EXPECT_EQ(parse_bytes("150%", 100), 150u);
}

TEST(ParseBytes, RefusesWhatIsNoNumberOfBytes) {
  for (const char* text : {"",
                           " ",
                           "K",
                           "%",
                           "x",
                           "-1",
                           "-0",
                           "+1",
                           "1 K",
                           " 1",
                           "1KB",
                           "1KiB",
                           "1P",
                           "1e3",
                           "0x10",
                           "1,5G",
                           "1..5",
                           "inf",
                           "nan",
                           "--1",
                           "1K ",
                           "8388608T",
                           "9999999999999999999999"}) {
    EXPECT_EQ(parse_bytes(text, kGiB), std::nullopt) << '"' << text << '"';
  }
}

TEST(ParseBytes, DoesNotReadPastTheView) { EXPECT_EQ(parse_bytes(std::string_view("123456K").substr(0, 3), 0), 123u); }

TEST(FormatBytes, ChoosesTheUnit) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1.0 KiB");
  EXPECT_EQ(format_bytes(kGiB + kGiB / 2), "1.5 GiB");
  EXPECT_EQ(format_bytes(5000 * 1024 * kGiB), "5000.0 TiB");
}

TEST(RoundUp, GoesToTheNextMultiple) {
  EXPECT_EQ(round_up(0, kPageSize), 0u);
  EXPECT_EQ(round_up(1, kPageSize), 4096u);
  EXPECT_EQ(round_up(4096, kPageSize), 4096u);
  EXPECT_EQ(round_up(4097, kPageSize), 8192u);
}

}  // namespace
}  // namespace ztmpfs
