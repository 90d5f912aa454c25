#pragma once

#include <string>
#include <vector>

#include "daemon/run_request.h"

namespace ztmpfs {

/// The results of a run on their way out of its mount: first all are copied to where they are to be, under names of
/// their own; if nothing is in the way of any, each takes its name with one rename(2) then. So a destination is what it
/// was, or the whole result.
class CopyOut {
 public:
  /// To be made before the run. `name` is unlike that of any other run. Throws std::runtime_error if it can be told
  /// now that a destination cannot be written.
  CopyOut(const RunRequest& request, const std::string& name);

  /// Whether there is something to copy after a command that has, or has not, failed.
  bool is_needed(bool has_failed) const;
  /// Copies, from the work directory `work`. Throws std::runtime_error; it names where those results are kept that have
  /// been copied and cannot take their places.
  void copy(const std::string& work, bool has_failed) const;
  /// Removes what copy() has not brought to its place, wherever it was interrupted.
  void remove_remains() const noexcept;

 private:
  struct Result {
    RunRequest::Result wanted;
    std::string aside;                         // where it is copied to
    std::string former;                        // where the destination is for an instant, or nowhere
    std::string kept;                          // where a result goes that cannot take its place
    std::vector<std::string> missing_parents;  // outermost first
  };

  void check(const Result& result) const;
  void copy_aside(const Result& result, const std::string& work) const;
  std::string obstacle(const Result& result) const;
  std::string publish(const Result& result) const;
  std::string keep(const Result& result, const std::string& why) const;

  const bool replaces_;
  std::vector<Result> results_;
};

}  // namespace ztmpfs
