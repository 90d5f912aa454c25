// What bench/compaction does to kernel zram, done to the block store: writes a corpus, discards blocks of it, compacts.
// usage: store_compaction CORPUS DISCARDED
// CORPUS: a whole number of 4 KiB blocks. DISCARDED: the numbers of the blocks to discard, one per line.
// Prints a JSON object: the store's figures after each of the three steps, and what compaction did.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "compress/codec_set.h"
#include "pool/pool.h"
#include "store/block_store.h"

namespace ztmpfs {
namespace {

// zram's page.
constexpr Bytes kBlockSize = 4 * kKiB;
constexpr Bytes kPieceSize = kMiB;

std::vector<std::byte> read_corpus(const char* path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw std::runtime_error(std::string("cannot read ") + path);
  std::vector<std::byte> bytes(size_t(file.tellg()));
  file.seekg(0);
  if (bytes.empty() || bytes.size() % kBlockSize != 0 ||
      !file.read(reinterpret_cast<char*>(bytes.data()), bytes.size()))
    throw std::runtime_error(std::string(path) + " is not a whole number of blocks");
  return bytes;
}

std::vector<uint32_t> read_numbers(const char* path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(std::string("cannot read ") + path);
  std::vector<uint32_t> numbers;
  for (uint32_t number = 0; file >> number;) numbers.push_back(number);
  if (!file.eof()) throw std::runtime_error(std::string(path) + " holds something else than numbers");
  return numbers;
}

// The store keeps no stock of free spans here, as zsmalloc has none.
struct Rig {
  explicit Rig(Bytes corpus)
      : image(ImageFiles::create({.capacity = (2 * (corpus / kMiB) + 64) * kMiB,
                                  .block_size = kBlockSize,
                                  .request_slots = 1,
                                  .request_buffer_size = kPageSize})),
        budget(image.geometry().capacity, 0),
        arena(image.data(), budget),
        pool(image.region(RegionId::kHandles), arena, budget, 0),
        store(image.region(RegionId::kBlocks), pool, budget,
              {lz4.writer(), lz4.writer(), [this](CodecId id) { return lz4.reader(id); }}, clock,
              {.block_size = kBlockSize, .hot_limit = 2 * corpus}) {
    store.attach([](BlockStore::OwnerId, uint64_t) { return true; });
  }

  void print(const char* step) const {
    const BlockStoreStats blocks = store.stats();
    const PoolStats pages = pool.stats();
    std::cout << '"' << step << "\": {\"orig\": " << blocks.orig_data_size << ", \"compr\": " << blocks.compr_data_size
              << ", \"same_pages\": " << blocks.same_pages << ", \"huge_pages\": " << blocks.huge_pages
              << ", \"memory\": " << pages.resident() << ", \"handles\": " << pages.handle_bytes
              << ", \"slots\": " << blocks.metadata_bytes << ", \"freeable\": " << pages.freeable << "},\n ";
  }

  SystemClock clock;
  CodecSet lz4{CodecChoice{CodecId::kLz4}};
  Image image;
  MemoryBudget budget;
  Arena arena;
  Pool pool;
  BlockStore store;
};

// An owner per block, so that each can be discarded by itself.
BlockStore::OwnerId owner_of(size_t block) { return BlockStore::OwnerId(block + 1); }

// Compresses as it goes, in the order of the corpus, as zram does.
void write_all(Rig& rig, std::span<const std::byte> corpus) {
  for (size_t offset = 0; offset < corpus.size(); offset += kBlockSize) {
    const auto written = rig.store.write(owner_of(offset / kBlockSize), 0, corpus.subspan(offset, kBlockSize));
    if (!written || *written != kBlockSize) throw std::runtime_error("the store took no more");
    if ((offset + kBlockSize) % kPieceSize == 0) rig.store.seal(SIZE_MAX, true, Effort::kFastForGood);
  }
  rig.store.seal(SIZE_MAX, true, Effort::kFastForGood);
  if (rig.store.hot_bytes() != 0) throw std::runtime_error("not all was sealed");
}

void expect_contents(Rig& rig, std::span<const std::byte> corpus, const std::vector<uint32_t>& discarded) {
  std::vector<bool> is_gone(corpus.size() / kBlockSize);
  for (const uint32_t block : discarded) is_gone.at(block) = true;
  std::vector<std::byte> target(kBlockSize);
  const std::vector<std::byte> zeros(kBlockSize);
  for (size_t block = 0; block < is_gone.size(); ++block) {
    const auto expected = is_gone[block] ? std::span(zeros) : corpus.subspan(block * kBlockSize, kBlockSize);
    if (!rig.store.read(owner_of(block), 0, target) || !std::ranges::equal(target, expected))
      throw std::runtime_error("block " + std::to_string(block) + " reads wrong after compaction");
  }
}

void run(const char* corpus_path, const char* discarded_path) {
  const auto corpus = read_corpus(corpus_path);
  const auto discarded = read_numbers(discarded_path);
  Rig rig(corpus.size());
  std::cout << "{";
  write_all(rig, corpus);
  rig.print("written");
  for (const uint32_t block : discarded)
    while (!rig.store.truncate(owner_of(block), 0, kBlockSize)) {
    }
  rig.print("discarded");
  const auto start = std::chrono::steady_clock::now();
  const CompactResult result = rig.pool.compact();
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  rig.print("compacted");
  expect_contents(rig, corpus, discarded);
  std::cout << "\"pages_freed\": " << result.pages_freed << ", \"bytes_moved\": " << result.bytes_moved
            << ", \"seconds\": " << time.count() << "}\n";
}

}  // namespace
}  // namespace ztmpfs

int main(int count, char** arguments) {
  if (count != 3) {
    std::fputs("usage: store_compaction CORPUS DISCARDED\n", stderr);
    return 2;
  }
  try {
    ztmpfs::run(arguments[1], arguments[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "store_compaction: %s\n", error.what());
    return 1;
  }
  return 0;
}
