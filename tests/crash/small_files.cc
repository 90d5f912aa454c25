#include "tests/crash/small_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <stdexcept>
#include <utility>

namespace ztmpfs {

namespace {

constexpr uint64_t kRoot = 1;
constexpr size_t kFilesMax = 300;
constexpr uint64_t kRemovedMax = 100;
constexpr uint64_t kReadShare = 8;
// Few classes of the pool, so that each has several spans.
constexpr std::array<size_t, 6> kSizes{90, 300, 700, 1100, 1900, 3000};

std::vector<std::byte> contents_of(uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> contents(kSizes[random() % kSizes.size()]);
  for (std::byte& byte : contents) byte = std::byte(random());
  return contents;
}

}  // namespace

SmallFiles::SmallFiles(FakeKernel& kernel, uint64_t seed, std::string directory)
    : kernel_(kernel), caller_(kernel), seed_(seed), random_(seed), directory_name_(std::move(directory)) {}

void SmallFiles::begin() {
  const auto made = caller_.mkdir(kRoot, directory_name_, 0755);
  expect(made.has_value(), "mkdir of the own directory fails");
  directory_ = made->nodeid;
}

void SmallFiles::step() {
  ++operations_;
  if (!files_.empty() && random_() % kReadShare == 0) return check_file(files_[random_() % files_.size()]);
  if (files_.size() < kFilesMax) return make_file();
  remove_files(1 + random_() % kRemovedMax);
}

void SmallFiles::make_file() {
  const std::string name = std::to_string(files_made_++);
  const auto made = caller_.create(directory_, name, S_IFREG | 0644, O_RDWR | O_EXCL);
  expect(made.has_value(), "create fails");
  const uint64_t seed = random_();
  const auto contents = contents_of(seed);
  const auto written = caller_.write(made->nodeid, 0, contents);
  expect(written && *written == contents.size(), "write fails");
  files_.push_back({name, made->nodeid, seed});
}

// All asked for before the first answer is waited for: so compaction finds something to do.
void SmallFiles::remove_files(size_t count) {
  std::vector<uint64_t> uniques;
  std::vector<uint64_t> inodes;
  for (; count > 0 && !files_.empty(); --count) {
    std::swap(files_[random_() % files_.size()], files_.back());
    uniques.push_back(kernel_.send(FUSE_UNLINK, directory_, make_names({files_.back().name})));
    inodes.push_back(files_.back().ino);
    files_.pop_back();
  }
  for (const uint64_t unique : uniques) expect(kernel_.wait(unique).error == 0, "unlink fails");
  forget(inodes);
}

void SmallFiles::check_file(const File& file) {
  const auto contents = contents_of(file.seed);
  const auto data = caller_.read(file.ino, 0, uint32_t(contents.size()) + 1);
  expect(data.has_value(), "file " + file.name + " cannot be read");
  expect(*data == contents, "file " + file.name + " has the wrong bytes");
}

void SmallFiles::verify() {
  for (const File& file : files_) check_file(file);
}

void SmallFiles::clear() {
  while (!files_.empty()) remove_files(kRemovedMax);
  expect(caller_.rmdir(kRoot, directory_name_).has_value(), "rmdir of the own directory fails");
  forget({&directory_, 1});
}

void SmallFiles::forget(std::span<const uint64_t> inodes) {
  std::vector<fuse_forget_one> items;
  for (const uint64_t ino : inodes) items.push_back({.nodeid = ino, .nlookup = kernel_.lookups_of(ino)});
  kernel_.forget(items, true);
}

void SmallFiles::expect(bool holds, const std::string& what) const {
  if (!holds)
    throw std::runtime_error(what + " (seed " + std::to_string(seed_) + ", operation " + std::to_string(operations_) +
                             ")");
}

}  // namespace ztmpfs
