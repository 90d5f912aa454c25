#include "fs/volume.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <limits>
#include <optional>
#include <thread>

#include "base/memory_usage.h"
#include "fs/shrinkers.h"

namespace ztmpfs {

namespace {

constexpr Bytes kReserveMin = 512 * kKiB;
constexpr Bytes kReserveMax = 64 * kMiB;
constexpr Bytes kHotMax = 256 * kMiB;
constexpr Bytes kStockMax = 64 * kMiB;
// Behind everything that people wait for, yet not so far that a lock held when preempted is held for long.
constexpr int kBackgroundNice = 10;
// What a request at the cap asks for beyond its own size, so that not each one has to.
constexpr Bytes kFullMargin = 4 * kMiB;
constexpr std::chrono::milliseconds kFullTimeMax{250};
// How often a smaller size is tried to be reached, while others go on writing.
constexpr int kFitRounds = 50;
constexpr std::chrono::milliseconds kFitPause{20};
constexpr size_t kSealBatch = 16;
constexpr size_t kRecompressBatch = 4;

Bytes stock_of(Bytes size, Bytes chosen) { return chosen != 0 ? chosen : std::min(kStockMax, size / 50); }
Bytes hot_limit_of(Bytes size, Bytes chosen) { return chosen != 0 ? chosen : std::min(kHotMax, size / 8); }

BlockStoreOptions store_options(const Image& image, const VolumeOptions& options) {
  return {.block_size = image.geometry().block_size,
          .hot_limit = hot_limit_of(options.size, options.hot),
          .cold_age = options.cold_age,
          .thorough_end = options.codec_end != 0 ? options.codec_end : UINT64_MAX,
          .logical_limit = options.logical};
}

StoreCodecs store_codecs(const CodecSet& fast, const CodecSet& thorough) {
  return {
      .fast = fast.writer(), .thorough = thorough.writer(), .reader = [&](CodecId id) { return thorough.reader(id); }};
}

}  // namespace

Bytes memory_reserve(Bytes size) { return std::clamp(size / 64, kReserveMin, kReserveMax); }

/// Wakes the background threads when there is work, and tells them to stop.
class WorkSignal {
 public:
  void notify() {
    {
      MutexLock lock(mutex_);
      ++posted_;
    }
    condition_.notify_one();
  }
  void stop() {
    {
      MutexLock lock(mutex_);
      stopping_ = true;
    }
    condition_.notify_all();
  }
  bool stopping() const { return stopping_.load(std::memory_order_relaxed); }
  uint64_t posted() {
    MutexLock lock(mutex_);
    return posted_;
  }
  /// Waits until something was posted since `seen`, or for the time; for ever if there is none.
  void wait(uint64_t seen, std::optional<std::chrono::milliseconds> time) NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock lock(mutex_.native());
    const auto woken = [&]() NO_THREAD_SAFETY_ANALYSIS { return stopping_ || posted_ != seen; };
    if (time) {
      condition_.wait_for(lock, *time, woken);
    } else {
      condition_.wait(lock, woken);
    }
  }

 private:
  Mutex mutex_;
  std::condition_variable condition_;
  std::atomic<bool> stopping_ = false;
  uint64_t posted_ GUARDED_BY(mutex_) = 0;
};

struct Volume::Parts {
  Parts(ImageFiles files, const VolumeOptions& volume_options, const Clock& clock, pid_t holder_pid)
      : options(volume_options),
        holder(holder_pid),
        image(std::move(files), options.access),
        budget(options.size, memory_reserve(options.size)),
        arena(image.data(), budget),
        pool(image.region(RegionId::kHandles), arena, budget, stock_of(options.size, options.free_span_stock)),
        fast_codecs(CodecChoice{options.codec.id == CodecId::kNone ? CodecId::kNone : CodecId::kLz4, 1}),
        thorough_codecs(options.codec),
        store(image.region(RegionId::kBlocks), pool, budget, store_codecs(fast_codecs, thorough_codecs), clock,
              store_options(image, options)),
        fs(image, store, budget, clock, options.root),
        reclaimer(clock) {
    for (Shrinker& shrinker : volume_shrinkers(fs, store, pool))
      shrinkers.push_back(reclaimer.add(std::move(shrinker)));
  }

  void run_background();
  bool background_step();
  size_t seal(bool everything, Effort effort);
  size_t recompress(bool everything);
  void note_sealed(BlockStore::OwnerId owner);
  void tell_settled();
  bool make_room(Bytes bytes);
  bool make_fit(Bytes size);
  Bytes heaps() const {
    if (!options.count_heaps) return 0;
    return anonymous_memory(::getpid()) + (holder != 0 ? anonymous_memory(holder) : 0);
  }

  const VolumeOptions options;
  const pid_t holder;
  Image image;
  MemoryBudget budget;
  Arena arena;
  Pool pool;
  CodecSet fast_codecs;
  CodecSet thorough_codecs;
  BlockStore store;
  FileSystem fs;
  Reclaimer reclaimer;
  std::vector<Reclaimer::Registration> shrinkers;
  std::function<void(uint64_t)> on_settled;
  Mutex sealed_mutex;
  std::vector<BlockStore::OwnerId> sealed GUARDED_BY(sealed_mutex);
  WorkSignal signal;
  std::vector<std::jthread> threads;
};

Volume::Volume(ImageFiles files, const VolumeOptions& options, const Clock& clock, pid_t holder)
    : parts_(std::make_unique<Parts>(std::move(files), options, clock, holder)) {
  Parts& parts = *parts_;
  // One page each for header, supervision and the mount's description, and the request records: they are there already.
  parts.budget.charge(3 * kPageSize + parts.image.region(RegionId::kRequests).length());
  measure_overhead();
  parts.fs.set_on_full([&parts](Bytes bytes) { return parts.make_room(bytes); });
  parts.fs.set_on_purge([&parts] { parts.signal.notify(); });
  parts.fs.set_on_cut([&parts](BlockStore::OwnerId owner) { parts.note_sealed(owner); });
  parts.store.set_on_work([&parts] { parts.signal.notify(); });
  parts.store.set_on_sealed([&parts](BlockStore::OwnerId owner) { parts.note_sealed(owner); });
  parts.fs.attach();
}

Volume::~Volume() { stop(); }

const Image& Volume::image() const { return parts_->image; }
FileSystem& Volume::fs() { return parts_->fs; }
BlockStore& Volume::store() { return parts_->store; }
Pool& Volume::pool() { return parts_->pool; }
MemoryBudget& Volume::budget() { return parts_->budget; }
Reclaimer& Volume::reclaimer() { return parts_->reclaimer; }
ReclaimReport Volume::compact() { return compact_by_hand(parts_->reclaimer, parts_->fs, parts_->pool); }

bool Volume::try_set_limits(Bytes size, Bytes hot) {
  Parts& parts = *parts_;
  if (size < parts.budget.limit() && !parts.make_fit(size)) return false;
  parts.budget.set_reserve(memory_reserve(size));
  parts.budget.set_limit(size);
  parts.store.set_hot_limit(hot_limit_of(size, hot));
  parts.pool.set_stock_max(stock_of(size, parts.options.free_span_stock));
  parts.signal.notify();  // there may be more open blocks now than there should be
  return true;
}

void Volume::set_on_settled(std::function<void(uint64_t)> on_settled) { parts_->on_settled = std::move(on_settled); }

void Volume::start() {
  for (uint32_t i = 0; i < parts_->options.workers; ++i)
    parts_->threads.emplace_back([this] { parts_->run_background(); });
}

void Volume::stop() {
  parts_->signal.stop();
  parts_->threads.clear();
}

void Volume::Parts::run_background() {
  pthread_setname_np(pthread_self(), "background");
  ::setpriority(PRIO_PROCESS, id_t(::syscall(SYS_gettid)), kBackgroundNice);
  while (!signal.stopping()) {
    const uint64_t seen = signal.posted();
    if (background_step()) continue;
    // Never a busy loop: a queue's oldest entry may be due and yet its block be locked.
    auto time = store.until_work();
    if (time) time = std::max(*time, std::chrono::milliseconds(10));
    signal.wait(seen, time);
  }
}

// Called by writers too (at the hot limit they seal), under an inode's lock: what needs such locks itself waits.
void Volume::Parts::note_sealed(BlockStore::OwnerId owner) {
  if (!on_settled) return;
  {
    MutexLock lock(sealed_mutex);
    if (!sealed.empty() && sealed.back() == owner) return;
    sealed.push_back(owner);
  }
  signal.notify();
}

void Volume::Parts::tell_settled() {
  std::vector<BlockStore::OwnerId> owners;
  {
    MutexLock lock(sealed_mutex);
    owners.swap(sealed);
  }
  std::sort(owners.begin(), owners.end());
  owners.erase(std::unique(owners.begin(), owners.end()), owners.end());
  for (const BlockStore::OwnerId owner : owners)
    if (const uint64_t ino = fs.ino_of(owner); ino != 0) on_settled(ino);
}

// For a request that met the cap, in its thread. Others may wait for the request: so in small portions. True if it is
// worth trying again.
bool Volume::Parts::make_room(Bytes bytes) {
  if (budget.available() >= bytes + kFullMargin) return false;  // it was another limit
  const Bytes target = bytes + kFullMargin - budget.available();
  const auto report = reclaimer.run({.cause = ReclaimCause::kNoSpace, .target = target, .time_max = kFullTimeMax});
  // Backed off: another run is under way, and has freed something meanwhile.
  return report.freed > 0 || report.backed_off;
}

// Whether what is in use or promised leaves a cap of `size` its reserve; what is in the way is reclaimed first.
bool Volume::Parts::make_fit(Bytes size) {
  const Bytes room = size - std::min(memory_reserve(size), size);
  budget.set_overhead(heaps());
  for (int round = 0; budget.taken() > room; ++round) {
    const auto report = reclaimer.run({.target = budget.taken() - room, .time_max = ReclaimRequest::kByHandTimeMax});
    budget.set_overhead(heaps());
    // A background thread may be busy with open blocks that are in the way.
    if (round == kFitRounds || (report.freed == 0 && store.hot_bytes() == 0)) return budget.taken() <= room;
    if (report.freed == 0) std::this_thread::sleep_for(kFitPause);
  }
  return true;
}

// Never while an audit looks.
size_t Volume::Parts::seal(bool everything, Effort effort) {
  return fs.run_unfrozen([&] { return store.seal(kSealBatch, everything, effort); });
}

size_t Volume::Parts::recompress(bool everything) {
  return fs.run_unfrozen([&] { return store.recompress(kRecompressBatch, everything); });
}

// False when there is nothing to do now.
bool Volume::Parts::background_step() {
  tell_settled();
  const bool purged = fs.purge_step();
  if (store.over_hot_limit()) return seal(true, Effort::kFast) > 0 || purged;
  return seal(false, Effort::kThorough) > 0 || purged || recompress(false) > 0;
}

void Volume::settle() {
  Parts& parts = *parts_;
  while (parts.fs.purge_step()) {
  }
  // A background thread may hold a block for a moment: then it is queued again, and found again.
  for (int round = 0; round < 1000 && (parts.store.hot_bytes() > 0 || parts.store.recompress_backlog() > 0); ++round) {
    while (parts.store.hot_bytes() > 0 && parts.seal(true, Effort::kThorough) == kSealBatch) {
    }
    while (parts.recompress(true) == kRecompressBatch) {
    }
  }
  parts.tell_settled();
}

void Volume::shrink_to_contents() {
  Parts& parts = *parts_;
  settle();
  compact();
  parts.fs.run_unfrozen([&] { return parts.pool.release_free_spans(std::numeric_limits<Bytes>::max()); });
}

void Volume::measure_overhead() { parts_->budget.set_overhead(parts_->heaps()); }

VolumeStats Volume::stats() const {
  const BlockStoreStats store = parts_->store.stats();
  return {.store = store,
          .pool = parts_->pool.stats(),
          .classes = parts_->pool.class_stats(),
          .mem_used_total = parts_->image.allocated() + parts_->heaps(),
          .mem_used_max = parts_->budget.peak(),
          .mem_limit = parts_->budget.limit(),
          .hot_limit = parts_->store.hot_limit(),
          .metadata_bytes = parts_->fs.metadata_bytes() + store.metadata_bytes,
          .write_back_failures = parts_->fs.write_back_failures(),
          .reclaim = parts_->reclaimer.stats(),
          .files = parts_->fs.files(),
          .directories = parts_->fs.directories()};
}

}  // namespace ztmpfs
