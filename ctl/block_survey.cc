#include "ctl/block_survey.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <set>
#include <thread>

#include "base/check.h"
#include "base/unique_fd.h"
#include "compress/same_filled.h"

namespace ztmpfs {

namespace {

// As a worker takes them: neighbours are mostly in one file.
constexpr size_t kChunksAtOnce = 16;
// What the store does with a block (store/block_seal.cc).
constexpr size_t kCompressMin = 48;
constexpr size_t kDefaultBlockSize = 2;  // number of 32 KiB in kBlockSizes
static_assert(kBlockSizes[kDefaultBlockSize] == 32 * kKiB);
// Behind it the default settings keep the fast codec (daemon/options.cc).
constexpr uint64_t kDefaultCodecEnd = 16 * kMiB;

size_t usable_cpus() {
  cpu_set_t set;
  return ::sched_getaffinity(0, sizeof(set), &set) == 0 ? size_t(std::max(CPU_COUNT(&set), 1)) : 1;
}

uint32_t memory_of(uint32_t size) { return layout_size(packed_layout(size)); }

}  // namespace

void StoredTally::add(uint32_t size, uint64_t count) {
  const Layout layout = packed_layout(size);
  payload += size * count;
  run_pages += layout.run_pages * count;
  if (layout.slot_bytes == 0) return;
  const uint32_t number = slot_class(layout.slot_bytes);
  ZTMPFS_CHECK(number < kSlotClassesMax, "there are more classes of slots than expected");
  slots[number] += uint32_t(count);
}

void StoredTally::add(const StoredTally& other) {
  payload += other.payload;
  run_pages += other.run_pages;
  for (size_t i = 0; i < slots.size(); ++i) slots[i] += other.slots[i];
}

class BlockSurvey::Worker {
 public:
  explicit Worker(BlockSurvey& survey) : survey_(survey), buffer_(Chunk::kLength), target_(Chunk::kLength) {
    for (StratumTally& stratum : result_.strata)
      for (BlockTally& tally : stratum.sizes) tally.codecs.resize(survey_.codecs_.size());
  }

  void work(const std::stop_token& stop, std::atomic<Bytes>& bytes_done) {
    const std::vector<Chunk>& chunks = survey_.plan_.chunks;
    while (true) {
      const size_t begin = survey_.next_chunk_.fetch_add(kChunksAtOnce);
      for (size_t i = begin; i < std::min(begin + kChunksAtOnce, chunks.size()); ++i) {
        if (stop.stop_requested()) return;
        look_at(chunks[i], stop);
        bytes_done.fetch_add(chunks[i].data_bytes(), std::memory_order_relaxed);
      }
      if (begin >= chunks.size()) return;
    }
  }

  SurveyResult& result() { return result_; }

 private:
  void look_at(const Chunk& chunk, const std::stop_token& stop) {
    const std::span<const std::byte> contents = read(chunk);
    StratumTally& stratum = result_.strata[chunk.stratum()];
    for (size_t i = 0; i < kBlockSizes.size(); ++i) {
      const uint32_t block_size = kBlockSizes[i];
      for (uint32_t at = 0; at < contents.size(); at += block_size) {
        const auto length = std::min(block_size, uint32_t(contents.size()) - at);
        if (stop.stop_requested()) return;
        if (chunk.is_hole(at, length)) continue;
        compare(contents.subspan(at, length), i, stratum, chunk.offset + at < kDefaultCodecEnd ? kThorough : kFast);
      }
    }
  }

  void compare(std::span<const std::byte> block, size_t block_size, StratumTally& stratum, size_t default_codec) {
    BlockTally& tally = stratum.sizes[block_size];
    ++tally.blocks;
    tally.bytes += block.size();
    if (same_filled(block)) {
      ++tally.same_filled;
      return;
    }
    tally.hashes.push_back(XXH3_64bits(block.data(), block.size()));
    for (size_t i = 0; i < survey_.codecs_.size(); ++i) {
      const uint32_t stored = stored_size(block, *survey_.codecs_[i].codec);
      tally.codecs[i].add(stored);
      if (block_size == kDefaultBlockSize && i == default_codec) stratum.by_default.add(stored);
    }
  }

  // Compressed only where that reaches a smaller class.
  uint32_t stored_size(std::span<const std::byte> block, const Codec& codec) {
    const auto length = uint32_t(block.size());
    if (length < kCompressMin) return length;
    const auto size = uint32_t(codec.compress(block, std::span(target_).first(length - 1)));
    return size != 0 && memory_of(size) < memory_of(length) ? size : length;
  }

  // What there is of the chunk; a file that has become shorter ends early.
  std::span<const std::byte> read(const Chunk& chunk) {
    if (file_ != chunk.file) open(chunk.file);
    if (!fd_) return {};
    size_t done = 0;
    while (done < chunk.length) {
      const ssize_t count = ::pread(fd_.get(), buffer_.data() + done, chunk.length - done, off_t(chunk.offset + done));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) complain(chunk.file, errno);
      if (count <= 0) break;
      done += size_t(count);
    }
    return std::span(buffer_).first(done);
  }

  void open(uint32_t file) {
    file_ = file;
    const std::string path = survey_.tree_.path_of(survey_.tree_.files[file]);
    fd_ = UniqueFd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat status;
    if (!fd_ || ::fstat(fd_.get(), &status) != 0) {
      complain(file, errno);
      fd_ = UniqueFd();
    } else if (!S_ISREG(status.st_mode)) {
      fd_ = UniqueFd();  // it is something else by now
    }
  }

  void complain(uint32_t file, int error) {
    if (!complained_.insert(file).second) return;
    result_.unreadable.push_back(unreadable_sentence(survey_.tree_.path_of(survey_.tree_.files[file]), error));
  }

  BlockSurvey& survey_;
  std::vector<std::byte> buffer_;
  std::vector<std::byte> target_;
  std::optional<uint32_t> file_;  // the one that was opened last
  UniqueFd fd_;
  std::set<uint32_t> complained_;
  SurveyResult result_;
};

SurveyResult BlockSurvey::run(const std::stop_token& stop, std::atomic<Bytes>& bytes_done) {
  std::vector<std::unique_ptr<Worker>> workers;
  for (size_t i = 0; i < usable_cpus(); ++i) workers.push_back(std::make_unique<Worker>(*this));
  {
    std::vector<std::jthread> threads;
    for (const auto& worker : workers)
      threads.emplace_back([&worker = *worker, &stop, &bytes_done] { worker.work(stop, bytes_done); });
  }
  SurveyResult total = std::move(workers.front()->result());
  for (size_t i = 1; i < workers.size(); ++i) {
    SurveyResult& part = workers[i]->result();
    for (size_t stratum = 0; stratum < total.strata.size(); ++stratum) {
      total.strata[stratum].by_default.add(part.strata[stratum].by_default);
      for (size_t size = 0; size < kBlockSizes.size(); ++size) {
        BlockTally& into = total.strata[stratum].sizes[size];
        BlockTally& from = part.strata[stratum].sizes[size];
        into.blocks += from.blocks;
        into.bytes += from.bytes;
        into.same_filled += from.same_filled;
        into.hashes.insert(into.hashes.end(), from.hashes.begin(), from.hashes.end());
        for (size_t codec = 0; codec < codecs_.size(); ++codec) into.codecs[codec].add(from.codecs[codec]);
      }
    }
    total.unreadable.insert(total.unreadable.end(), part.unreadable.begin(), part.unreadable.end());
  }
  std::ranges::sort(total.unreadable);
  const auto repeated = std::ranges::unique(total.unreadable);
  total.unreadable.erase(repeated.begin(), repeated.end());
  return total;
}

}  // namespace ztmpfs
