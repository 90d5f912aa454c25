#pragma once

#include <atomic>
#include <type_traits>

namespace ztmpfs {

/// Called before each change to the image that a successor of this process might find without the next one: stores to
/// published records, and pages that come or go. Does nothing, but in builds with ZTMPFS_KILL_POINTS: there the test
/// defines it, counts, and dies at the n-th call by SIGKILL (tests/crash/kill_points.h).
///
/// Once for all plain writes that fill a record before it is published: to die in the middle of them is the same, since
/// nobody reads what they wrote until then.
#ifdef ZTMPFS_KILL_POINTS
void kill_point();
#else
inline void kill_point() {}
#endif

/// A store to the image that publishes, changes or ends a record. Release: what was written before is there for whoever
/// finds the new value, another thread or the next server (DESIGN section 6, rule 2).
template <class T>
void durable_store(std::atomic<T>& field, std::type_identity_t<T> value) {
  kill_point();
  field.store(value, std::memory_order_release);
}

/// The same for a field that is no atomic object, since it is mostly read under a lock.
template <class T>
  requires std::is_integral_v<T>
void durable_store(T& field, std::type_identity_t<T> value) {
  kill_point();
  std::atomic_ref(field).store(value, std::memory_order_release);
}

}  // namespace ztmpfs
