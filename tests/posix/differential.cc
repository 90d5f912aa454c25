// The same seeded operations on two file systems, ours and one to be compared with; see usage().
#include <getopt.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "tests/posix/deliberate.h"
#include "tests/posix/differential_run.h"
#include "tests/posix/tree.h"

namespace ztmpfs {
namespace {

struct Arguments {
  RunOptions run;
  uint64_t seeds = 1;
  unsigned threads = 1;
  uint32_t user = 0;
};

[[noreturn]] void usage(int status) {
  std::fputs(
      "usage: differential --ours DIRECTORY --reference DIRECTORY [--seed N] [--seeds COUNT] [--operations M]\n"
      "                    [--threads T] [--user UID | --mixed] [--without KIND[,KIND...]] [--stop-at NUMBER]\n"
      "                    [--no-times] [--verbose]\n"
      "       differential --sections    the headings of docs/posix.md that name the deliberate differences\n"
      "       differential --kinds       the kinds of operations\n"
      "Exit status: 0 the same, 1 a difference, 2 wrong usage. --user makes everything as that user, --mixed each\n"
      "operation as one of three. `--without set_id` leaves suid and sgid bits out of modes. A seed's operations are "
      "the\n"
      "same on every machine.\n",
      status == 0 ? stdout : stderr);
  std::exit(status);
}

void split(const std::string& list, std::set<std::string, std::less<>>& words) {
  for (size_t at = 0; at < list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    words.insert(list.substr(at, end - at));
    at = end + 1;
  }
}

[[noreturn]] void print_kinds() {
  for (const OperationKind& kind : all_operations()) std::printf("%s\n", std::string(kind.name).c_str());
  std::exit(0);
}

[[noreturn]] void print_sections() {
  for (const Deliberate& difference : deliberate_differences())
    std::printf("%s\n", std::string(difference.section).c_str());
  std::exit(0);
}

uint64_t number(const char* text) {
  char* end = nullptr;
  const uint64_t value = std::strtoull(text, &end, 10);
  if (end == text || *end != '\0') usage(2);
  return value;
}

Arguments parse(int count, char** values) {
  static constexpr option kOptions[] = {
      {"ours", 1, nullptr, 'o'},     {"reference", 1, nullptr, 'r'},  {"seed", 1, nullptr, 's'},
      {"seeds", 1, nullptr, 'S'},    {"operations", 1, nullptr, 'n'}, {"threads", 1, nullptr, 't'},
      {"user", 1, nullptr, 'u'},     {"mixed", 0, nullptr, 'm'},      {"without", 1, nullptr, 'w'},
      {"stop-at", 1, nullptr, 'x'},  {"no-times", 0, nullptr, 'T'},   {"verbose", 0, nullptr, 'v'},
      {"sections", 0, nullptr, 'd'}, {"kinds", 0, nullptr, 'k'},      {"help", 0, nullptr, 'h'},
      {nullptr, 0, nullptr, 0}};
  Arguments arguments;
  RunOptions& run = arguments.run;
  for (int letter = 0; (letter = ::getopt_long(count, values, "h", kOptions, nullptr)) != -1;) {
    switch (letter) {
      case 'o': run.ours = ::optarg; break;
      case 'r': run.reference = ::optarg; break;
      case 's': run.seed = number(::optarg); break;
      case 'S': arguments.seeds = number(::optarg); break;
      case 'n': run.operations = number(::optarg); break;
      case 't': arguments.threads = unsigned(number(::optarg)); break;
      case 'u': arguments.user = uint32_t(number(::optarg)); break;
      case 'm': run.call.mixes_identities = true; break;
      case 'w':
        split(::optarg, run.without);
        run.call.sets_ids = !run.without.contains("set_id");
        break;
      case 'x': run.stop_at = number(::optarg); break;
      case 'T': run.call.times = false; break;
      case 'v': run.is_verbose = true; break;
      case 'd': print_sections();
      case 'k': print_kinds();
      default: usage(letter == 'h' ? 0 : 2);
    }
  }
  if (run.ours.empty() || run.reference.empty() || ::optind != count) usage(2);
  return arguments;
}

// One thread's share; its umask is its own.
bool run_thread(const RunOptions& options, unsigned thread) try {
  if (::unshare(CLONE_FS) != 0) throw std::system_error(errno, std::generic_category(), "unshare");
  ::umask(022);
  DifferentialRun run(options, thread);
  const bool is_same = run.run() && run.compare_trees();
  // What has differed, or was asked for, is left to be looked at.
  return is_same && (options.stop_at != UINT64_MAX || run.remove_trees());
} catch (const std::exception& error) {
  std::printf("DIFFERENCE: seed %lu, thread %u: %s\n", options.seed, thread, error.what());
  return false;
}

bool run_seed(const RunOptions& options, unsigned threads) {
  std::atomic<bool> is_same = true;
  {
    std::vector<std::jthread> running;
    for (unsigned thread = 0; thread < threads; ++thread)
      running.emplace_back([&, thread] {
        if (!run_thread(options, thread)) is_same = false;
      });
  }
  return is_same;
}

void become_user(uint32_t user) {
  if (user == 0) return;
  if (::setgroups(0, nullptr) != 0 || ::setresgid(user, user, user) != 0 || ::setresuid(user, user, user) != 0)
    throw std::system_error(errno, std::generic_category(), "cannot become the user");
}

int main(int count, char** values) {
  Arguments arguments = parse(count, values);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
  become_user(arguments.user);
  arguments.run.call.has_company = arguments.threads > 1;
  const uint64_t first = arguments.run.seed;
  uint64_t different = 0;
  for (; arguments.run.seed < first + arguments.seeds; ++arguments.run.seed)
    if (!run_seed(arguments.run, arguments.threads)) ++different;
  std::printf("%lu of %lu seeds differ, %lu operations each in %u threads\n", different, arguments.seeds,
              arguments.run.operations, arguments.threads);
  return different == 0 ? 0 : 1;
}

}  // namespace
}  // namespace ztmpfs

int main(int count, char** values) try { return ztmpfs::main(count, values); } catch (const std::exception& error) {
  std::fprintf(stderr, "differential: %s\n", error.what());
  return 2;
}
