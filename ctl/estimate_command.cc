#include "ctl/estimate_command.h"

#include <signal.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <future>
#include <ostream>
#include <stop_token>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "compress/codec_set.h"
#include "ctl/block_survey.h"
#include "ctl/estimate_text.h"
#include "ctl/progress_bar.h"
#include "ctl/signal_watch.h"

namespace ztmpfs {

namespace {

// What is read of a tree that is larger takes some seconds.
constexpr Bytes kSampleBytes = 256 * kMiB;
constexpr size_t kNamedMax = 20;  // sentences about what cannot be read
constexpr std::chrono::milliseconds kRefresh{50};

constexpr std::array kOptions{
    CommandOption{"--all", "", "", "read everything, however large the tree is"},
    CommandOption{"--codec", "", "CODEC", "compare this one too: zstd:LEVEL"},
};

// How far the work is; stored by the one thread, shown by the other.
struct Progress {
  std::atomic<uint64_t> entries{0};
  std::atomic<Bytes> bytes_done{0};
  std::atomic<Bytes> bytes_total{0};

  void show(ProgressBar& line) const {
    const Bytes total = bytes_total.load();
    if (total == 0) return line.show(-1, std::to_string(entries.load()) + " files found");
    const Bytes done = bytes_done.load();
    line.show(double(done) / double(total), format_bytes(done) + " of " + format_bytes(total) + " read");
  }
};

// The codecs to compare, and what owns them.
class ComparedCodecs {
 public:
  explicit ComparedCodecs(const CommandContext& context) {
    add("lz4");
    add("zstd:3");
    const auto other = context.options.find("--codec");
    if (other == context.options.end()) return;
    try {
      if (parse_codec(other->second).id == CodecId::kNone) throw std::invalid_argument("none compresses nothing");
    } catch (const std::invalid_argument& error) {
      throw CtlUsageError("estimate: --codec " + other->second + ": " + error.what());
    }
    add(other->second);
  }

  std::span<const NamedCodec> list() const { return list_; }

 private:
  void add(const std::string& name) {
    sets_.push_back(std::make_unique<CodecSet>(parse_codec(name)));
    list_.push_back({name, sets_.back()->writer()});
  }

  std::vector<std::unique_ptr<CodecSet>> sets_;
  std::vector<NamedCodec> list_;
};

EstimateReport make_report(const CommandContext& context, std::span<const NamedCodec> codecs,
                           const std::stop_token& stop, Progress& progress) {
  EstimateReport report{.paths = context.arguments, .tree = {}, .plan = {}, .estimate = {}};
  report.tree = walk_trees(context.arguments, stop, progress.entries);
  report.plan = plan_sample(report.tree, context.options.contains("--all") ? UINT64_MAX : kSampleBytes);
  progress.bytes_total = report.plan.chosen_total;
  const SurveyResult survey = BlockSurvey(report.tree, report.plan, codecs).run(stop, progress.bytes_done);
  report.tree.unreadable.insert(report.tree.unreadable.end(), survey.unreadable.begin(), survey.unreadable.end());
  report.estimate = estimate_tree(report.tree, report.plan, survey, codecs);
  return report;
}

// The signal that the user ended it with, or the report.
std::optional<int> work(const CommandContext& context, EstimateReport& report) {
  const ComparedCodecs codecs(context);
  const SignalWatch signals{SIGINT, SIGTERM, SIGHUP};
  Progress progress;
  ProgressBar line(context.surroundings.err, context.surroundings.is_err_terminal);
  std::stop_source stop;
  auto result =
      std::async(std::launch::async, [&] { return make_report(context, codecs.list(), stop.get_token(), progress); });
  std::optional<int> signal;
  while (!signal && result.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
    signal = signals.wait(kRefresh);
    progress.show(line);
  }
  if (signal) stop.request_stop();
  report = result.get();
  return signal;
}

void name_unreadable(const CommandContext& context, const std::vector<std::string>& unreadable) {
  for (size_t i = 0; i < std::min(unreadable.size(), kNamedMax); ++i)
    context.surroundings.err << "ztmpfsctl: " << unreadable[i] << "\n";
  if (unreadable.size() > kNamedMax)
    context.surroundings.err << "ztmpfsctl: and " << unreadable.size() - kNamedMax << " more cannot be read\n";
}

}  // namespace

std::span<const CommandOption> estimate_options() { return kOptions; }

int run_estimate(const CommandContext& context) {
  EstimateReport report;
  if (const auto signal = work(context, report)) {
    ::raise(*signal);  // so that the shell knows that it was no end of ours
    return EXIT_FAILURE;
  }
  name_unreadable(context, report.tree.unreadable);
  const TreeContents& tree = report.tree;
  if (tree.files_found + tree.directories_found + tree.symlinks_found + tree.others_found == 0) return EXIT_FAILURE;
  context.out << (context.as_json ? estimate_json(report) : estimate_text(report, context.surroundings.has_colours));
  return tree.unreadable.empty() ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace ztmpfs
