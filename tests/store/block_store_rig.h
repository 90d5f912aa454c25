#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "compress/codec_set.h"
#include "store/block_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/test_volume.h"

namespace ztmpfs {

using Contents = std::vector<std::byte>;

inline Contents make_contents(std::mt19937_64& random, size_t size) {
  Contents bytes(size);
  switch (random() % 4) {
    case 0: break;  // zeros
    case 1: std::ranges::generate(bytes, [&] { return std::byte(random()); }); break;
    case 2: std::ranges::generate(bytes, [&] { return std::byte("the quick brown fox"[random() % 6]); }); break;
    default: std::ranges::fill(bytes, std::byte(random())); break;
  }
  return bytes;
}

/// A codec that counts.
class CountingCodec final : public Codec {
 public:
  explicit CountingCodec(const Codec& codec) : codec_(codec) {}
  CodecId id() const override { return codec_.id(); }
  std::string_view name() const override { return codec_.name(); }
  size_t compress(std::span<const std::byte> source, std::span<std::byte> target) const override {
    ++compressions_;
    return codec_.compress(source, target);
  }
  Result<size_t> decompress(std::span<const std::byte> source, std::span<std::byte> target) const override {
    return codec_.decompress(source, target);
  }
  uint64_t compressions() const { return compressions_; }

 private:
  const Codec& codec_;
  mutable std::atomic<uint64_t> compressions_ = 0;
};

/// Everything a store stands on; attach_again() is what a new process does after a crash.
class BlockStoreTest : public testing::TestWithParam<Bytes> {
 protected:
  void SetUp() override {
    files_ = ImageFiles::create(small_geometry(GetParam()));
    open(64 * kMiB, 4 * kMiB, 0);
  }
  void open(Bytes limit, Bytes hot_limit, Bytes logical_limit) {
    store_.reset();
    pool_.reset();
    arena_.reset();
    image_ = std::make_unique<Image>(duplicate(files_));
    budget_ = std::make_unique<MemoryBudget>(limit, 512 * kKiB);
    arena_ = std::make_unique<Arena>(image_->data(), *budget_);
    pool_ = std::make_unique<Pool>(image_->region(RegionId::kHandles), *arena_, *budget_, kMiB);
    StoreCodecs codecs{&fast_codec_, thorough_.writer(), [this](CodecId id) { return thorough_.reader(id); }};
    store_ = std::make_unique<BlockStore>(image_->region(RegionId::kBlocks), *pool_, *budget_, codecs, clock_,
                                          BlockStoreOptions{.block_size = GetParam(),
                                                            .hot_limit = hot_limit,
                                                            .cold_age = std::chrono::seconds(1),
                                                            .thorough_end = thorough_end_,
                                                            .logical_limit = logical_limit});
    store_->attach([this](BlockStore::OwnerId owner, uint64_t) { return owner != dead_owner_; });
  }
  void write(BlockStore::OwnerId owner, uint64_t offset, const Contents& bytes) {
    ASSERT_EQ(store_->write(owner, offset, bytes), bytes.size());
    auto& model = model_[owner];
    if (model.size() < offset + bytes.size()) model.resize(offset + bytes.size());
    std::ranges::copy(bytes, model.begin() + ptrdiff_t(offset));
  }
  void punch(BlockStore::OwnerId owner, uint64_t offset, uint64_t length, bool stays) {
    const uint64_t end = offset + length;
    for (uint64_t next = offset; next < end;) {
      const auto done =
          store_->punch(owner, next, end, stays ? BlockStore::Reservation::kStays : BlockStore::Reservation::kEnds);
      ASSERT_TRUE(done.has_value());
      next = *done;
    }
    auto& model = model_[owner];
    for (uint64_t i = offset; i < std::min<uint64_t>(end, model.size()); ++i) model[i] = std::byte(0);
  }
  /// Of what there is; `to` must not be `from`.
  void copy(BlockStore::OwnerId from, uint64_t from_offset, BlockStore::OwnerId to, uint64_t to_offset, size_t length) {
    const auto& source = model_[from];
    if (from_offset >= source.size()) return;
    length = std::min<size_t>(length, source.size() - from_offset);
    ASSERT_EQ(store_->copy(from, from_offset, to, to_offset, length), length);
    auto& target = model_[to];
    if (target.size() < to_offset + length) target.resize(to_offset + length);
    std::copy_n(source.begin() + ptrdiff_t(from_offset), length, target.begin() + ptrdiff_t(to_offset));
  }
  /// Holes read as zeros; what was found to be contents or a hole is not found to be the other.
  void expect_seek(BlockStore::OwnerId owner, uint64_t offset) {
    const auto& model = model_[owner];
    const uint64_t data = store_->next_data(owner, offset).value_or(model.size());
    for (uint64_t i = offset; i < std::min<uint64_t>(data, model.size()); ++i) ASSERT_EQ(model[i], std::byte(0));
    const uint64_t hole = store_->next_hole(owner, offset);
    EXPECT_EQ(hole > offset, data == offset && store_->next_data(owner, offset).has_value());
    EXPECT_NE(store_->next_data(owner, hole).value_or(UINT64_MAX), hole);
  }
  void expect_contents(BlockStore::OwnerId owner) {
    Contents read(model_[owner].size() + 100, std::byte(0xaa));
    ASSERT_TRUE(store_->read(owner, 0, read).has_value());
    EXPECT_TRUE(std::equal(model_[owner].begin(), model_[owner].end(), read.begin())) << "owner " << owner;
    EXPECT_TRUE(std::all_of(read.end() - 100, read.end(), [](std::byte b) { return b == std::byte(0); }));
  }
  void expect_sound() { EXPECT_EQ(store_->audit(), std::vector<std::string>()); }

  FakeClock clock_;
  ImageFiles files_;
  CodecSet fast_{CodecChoice{CodecId::kLz4, 1}};
  CodecSet thorough_{CodecChoice{CodecId::kZstd, 3}};
  CountingCodec fast_codec_{*fast_.writer()};
  std::unique_ptr<Image> image_;
  std::unique_ptr<MemoryBudget> budget_;
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<BlockStore> store_;
  std::map<BlockStore::OwnerId, Contents> model_;
  BlockStore::OwnerId dead_owner_ = 0;
  uint64_t thorough_end_ = UINT64_MAX;
};

}  // namespace ztmpfs
