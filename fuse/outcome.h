#pragma once

#include <type_traits>

#include "base/result.h"
#include "fs/operation.h"

namespace ztmpfs {

/// The result that a recorded outcome stands for. An outcome of another kind than T's is EIO.
template <class T>
Result<T> recorded_result(const Outcome& outcome) {
  if (outcome.kind == Outcome::kError) return fail(static_cast<std::errc>(outcome.value));
  if constexpr (std::is_void_v<T>) {
    if (outcome.kind == Outcome::kDone) return {};
  } else if constexpr (std::is_same_v<T, Attr>) {
    if (outcome.kind == Outcome::kAttr) return outcome.attr;
  } else {
    if (outcome.kind == Outcome::kCount || outcome.kind == Outcome::kBytes) return T(outcome.value);
  }
  return fail(std::errc::io_error);
}

/// What to record of a result that changed nothing.
template <class T>
Outcome to_outcome(const Result<T>& result) {
  Outcome outcome{.kind = Outcome::kError, .unused = 0, .value = 0, .attr = {}};
  if (!result) {
    outcome.value = uint64_t(result.error());
  } else if constexpr (std::is_void_v<T>) {
    outcome.kind = Outcome::kDone;
  } else if constexpr (std::is_same_v<T, Attr>) {
    outcome.kind = Outcome::kAttr;
    outcome.attr = *result;
  } else {
    outcome.kind = Outcome::kCount;
    outcome.value = *result;
  }
  return outcome;
}

/// The request's result: what was recorded before a crash, else what execute() comes to. What had come only part of the
/// way goes on.
///
/// What changed nothing is recorded too, errors above all: executed again, after its reply was sent and other requests
/// were served, it might change something.
template <class T, class Execute>
Result<T> result_of(Operation& operation, Execute&& execute) {
  const bool may_go_on = operation.has_outcome() && operation.outcome().kind == Outcome::kItems;
  if (operation.has_outcome() && !may_go_on) return recorded_result<T>(operation.outcome());
  Result<T> result = execute();
  if (!operation.has_outcome()) {
    Transaction nothing = operation.begin();
    operation.commit(nothing, to_outcome(result));
  }
  return result;
}

}  // namespace ztmpfs
