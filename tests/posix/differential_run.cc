#include "tests/posix/differential_run.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>
#include <cerrno>
#include <cstdio>
#include <mutex>
#include <system_error>

#include "tests/posix/deliberate.h"
#include "tests/posix/tree.h"

namespace ztmpfs {

namespace {

// Deep enough that no ".." leads out of what is this run's.
constexpr int kDepth = 6;
constexpr size_t kHistory = 40;

void make_directory(const std::string& path) {
  const bool is_made = ::mkdir(path.c_str(), 0777) == 0 || errno == EEXIST;
  if (!is_made || ::chmod(path.c_str(), 0777) != 0) throw std::system_error(errno, std::generic_category(), path);
}

// All times of the directory equal, and looked at: see look_at_parent() in open_operations.cc.
void settle_times(const std::string& path) {
  struct stat status{};
  ::stat(path.c_str(), &status);
  ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
  ::stat(path.c_str(), &status);
}

std::string make_directories(const std::string& top, const RunOptions& options, std::string_view name) {
  const std::string seed = fmt::format("{}/seed{}", top, options.seed);
  make_directory(seed);
  const std::string thread = fmt::format("{}/{}", seed, name);
  make_directory(thread);
  std::string path = thread;
  for (int i = 0; i < kDepth; ++i) make_directory(path += "/in");
  for (std::string made = path; made != seed; made.resize(made.rfind('/'))) settle_times(made);
  return path;
}

World make_world(const std::string& top, const RunOptions& options, unsigned thread, bool is_reference) {
  const std::string shared = fmt::format("{}/seed{}/shared", top, options.seed);
  const std::string directory = make_directories(top, options, fmt::format("thread{}", thread));
  make_directory(shared);
  return World(directory, shared, fmt::format("t{}_", thread), is_reference);
}

uint64_t mix(uint64_t seed, uint64_t thread, uint64_t number) {
  return Random(Random(Random(seed).next() + thread).next() + number).next();
}

}  // namespace

std::vector<OperationKind> all_operations() {
  std::vector<OperationKind> kinds;
  for (const auto& group : {open_operations(), io_operations(), space_operations(), name_operations(),
                            attribute_operations(), directory_operations(), lock_operations(), xattr_operations()})
    kinds.insert(kinds.end(), group.begin(), group.end());
  return kinds;
}

DifferentialRun::DifferentialRun(const RunOptions& options, unsigned thread)
    : options_(options),
      thread_(thread),
      ours_(make_world(options.ours, options, thread, false)),
      reference_(make_world(options.reference, options, thread, true)) {
  for (const OperationKind& kind : all_operations())
    if (!options.without.contains(kind.name)) kinds_.push_back(kind);
  for (const OperationKind& kind : kinds_) weight_ += kind.weight;
}

bool DifferentialRun::run() {
  for (uint64_t number = 0; number < options_.operations && number <= options_.stop_at; ++number)
    if (!step(number)) return false;
  return true;
}

bool DifferentialRun::step(uint64_t number) {
  Random random(mix(options_.seed, thread_, number));
  uint64_t dice = random.below(weight_);
  size_t chosen = 0;
  while (dice >= kinds_[chosen].weight) dice -= kinds_[chosen++].weight;
  const OperationKind& kind = kinds_[chosen];
  const uint64_t seed = random.next();
  Call ours(ours_, seed, options_.call);
  Call reference(reference_, seed, options_.call);
  const bool ours_first = random.chance(50);
  for (Call* call : {ours_first ? &ours : &reference, ours_first ? &reference : &ours}) {
    kind.run(*call);
    call->finish();
  }
  const std::string shown = fmt::format("{}: {}", number, reference.trace().description());
  if (options_.is_verbose || number == options_.stop_at) {
    std::printf("%s\n", printable(shown, 0).c_str());
    for (const auto& [label, value] : reference.trace().fields())
      std::printf("    %s: %s\n", label.c_str(), printable(value, 0).c_str());
  }
  const bool is_fine = judge(number, kind.name, ours.trace(), reference.trace());
  history_.push_back(shown);
  if (history_.size() > kHistory) history_.pop_front();
  return is_fine;
}

bool DifferentialRun::judge(uint64_t number, std::string_view operation, const Trace& ours, const Trace& reference) {
  static std::mutex printing;
  bool is_fine = true;
  for (const Difference& difference : differences(operation, ours, reference)) {
    if (find_deliberate(difference) != nullptr) continue;
    const std::lock_guard lock(printing);
    if (is_fine) {
      std::printf("DIFFERENCE: seed %lu, thread %u, operation %lu: %s\n", options_.seed, thread_, number,
                  std::string(operation).c_str());
      for (const std::string& before : history_) std::printf("    before: %s\n", printable(before, 0).c_str());
      std::printf("    operation: %s\n", printable(reference.description(), 0).c_str());
    }
    is_fine = false;
    const size_t at = first_difference(difference.ours, difference.reference);
    std::printf("    %s (at byte %zu)\n        ours:      %s\n        reference: %s\n", difference.label.c_str(), at,
                printable(difference.ours, at).c_str(), printable(difference.reference, at).c_str());
  }
  if (is_fine) return true;
  for (const Trace* trace : {&ours, &reference})
    for (const auto& [label, value] : trace->notes())
      std::printf("    %s: %s: %s\n", trace == &ours ? "ours" : "reference", label.c_str(), value.c_str());
  print_hint(number);
  return is_fine;
}

void DifferentialRun::print_hint(uint64_t number) const {
  std::string without;
  for (const std::string& kind : options_.without) without += (without.empty() ? " --without " : ",") + kind;
  std::printf("    again: differential --ours %s --reference %s --seed %lu --operations %lu --stop-at %lu%s%s\n",
              options_.ours.c_str(), options_.reference.c_str(), options_.seed, options_.operations, number,
              options_.call.mixes_identities ? " --mixed" : "", without.c_str());
  std::fflush(stdout);
}

bool DifferentialRun::compare_trees() {
  bool is_fine = true;
  walk_trees(ours_, reference_, options_.call, [&](const std::string& path, const Trace& ours, const Trace& reference) {
    Trace shown = reference;
    shown.describe("the tree afterwards: " + path);
    is_fine = judge(options_.operations, "tree", ours, shown);
    return is_fine;
  });
  return is_fine;
}

bool DifferentialRun::remove_trees() {
  bool is_fine = true;
  for (World* world : {&ours_, &reference_}) {
    for (World::Slot& slot : world->slots()) slot.fd.reset();
    if (empty_directory(world->root())) continue;
    std::printf("DIFFERENCE: seed %lu, thread %u: the tree cannot be removed from %s\n", options_.seed, thread_,
                world->is_reference() ? "the reference" : "ours");
    is_fine = false;
  }
  return is_fine;
}

}  // namespace ztmpfs
