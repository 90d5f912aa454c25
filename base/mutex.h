#pragma once

#include <pthread.h>

#include <mutex>

#include "base/check.h"

// Clang's thread-safety attributes (https://clang.llvm.org/docs/ThreadSafetyAnalysis.html); nothing elsewhere.
#if defined(__clang__)
#define ZTMPFS_ATTRIBUTE(x) __attribute__((x))
#else
#define ZTMPFS_ATTRIBUTE(x)
#endif
#define CAPABILITY(name) ZTMPFS_ATTRIBUTE(capability(name))
#define SCOPED_CAPABILITY ZTMPFS_ATTRIBUTE(scoped_lockable)
#define GUARDED_BY(x) ZTMPFS_ATTRIBUTE(guarded_by(x))
#define PT_GUARDED_BY(x) ZTMPFS_ATTRIBUTE(pt_guarded_by(x))
#define REQUIRES(...) ZTMPFS_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) ZTMPFS_ATTRIBUTE(requires_shared_capability(__VA_ARGS__))
#define ACQUIRE(...) ZTMPFS_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define ACQUIRE_SHARED(...) ZTMPFS_ATTRIBUTE(acquire_shared_capability(__VA_ARGS__))
#define RELEASE(...) ZTMPFS_ATTRIBUTE(release_capability(__VA_ARGS__))
#define RELEASE_SHARED(...) ZTMPFS_ATTRIBUTE(release_shared_capability(__VA_ARGS__))
#define RELEASE_GENERIC(...) ZTMPFS_ATTRIBUTE(release_generic_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) ZTMPFS_ATTRIBUTE(try_acquire_capability(__VA_ARGS__))
#define TRY_ACQUIRE_SHARED(...) ZTMPFS_ATTRIBUTE(try_acquire_shared_capability(__VA_ARGS__))
#define EXCLUDES(...) ZTMPFS_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define RETURN_CAPABILITY(x) ZTMPFS_ATTRIBUTE(lock_returned(x))
#define NO_THREAD_SAFETY_ANALYSIS ZTMPFS_ATTRIBUTE(no_thread_safety_analysis)

namespace ztmpfs {

/// std::mutex with annotations. Lives in process memory only, never in the image.
class CAPABILITY("mutex") Mutex {
 public:
  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }
  bool try_lock() TRY_ACQUIRE(true) { return mutex_.try_lock(); }
  /// For std::condition_variable; the analysis does not see it.
  std::mutex& native() { return mutex_; }

 private:
  std::mutex mutex_;
};

/// A reader-writer lock that prefers writers, so that a stream of readers cannot starve one.
/// Not recursive, not even for readers.
class CAPABILITY("mutex") SharedMutex {
 public:
  SharedMutex() {
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&lock_, &attributes);
    pthread_rwlockattr_destroy(&attributes);
  }
  ~SharedMutex() { pthread_rwlock_destroy(&lock_); }
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;

  void lock() ACQUIRE() { check(pthread_rwlock_wrlock(&lock_)); }
  void unlock() RELEASE() { check(pthread_rwlock_unlock(&lock_)); }
  bool try_lock() TRY_ACQUIRE(true) { return pthread_rwlock_trywrlock(&lock_) == 0; }
  void lock_shared() ACQUIRE_SHARED() { check(pthread_rwlock_rdlock(&lock_)); }
  void unlock_shared() RELEASE_SHARED() { check(pthread_rwlock_unlock(&lock_)); }
  bool try_lock_shared() TRY_ACQUIRE_SHARED(true) { return pthread_rwlock_tryrdlock(&lock_) == 0; }

 private:
  // A thread that would wait for itself gets EDEADLK: going on would corrupt the lock.
  static void check(int error) { ZTMPFS_CHECK(error == 0, "a lock was taken twice, or not held"); }

  pthread_rwlock_t lock_;
};

/// Holds a Mutex (or what is locked like one) for a scope; may be released early.
template <class Lockable = Mutex>
class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Lockable& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  /// Takes over what the caller has locked already.
  MutexLock(Lockable& mutex, std::adopt_lock_t) REQUIRES(mutex) : mutex_(mutex) {}
  ~MutexLock() RELEASE() {
    if (held_) mutex_.unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;
  void unlock() RELEASE() {
    mutex_.unlock();
    held_ = false;
  }
  void lock() ACQUIRE() {
    mutex_.lock();
    held_ = true;
  }

 private:
  Lockable& mutex_;
  bool held_ = true;
};

/// Holds a SharedMutex exclusively for a scope.
class SCOPED_CAPABILITY WriterLock {
 public:
  explicit WriterLock(SharedMutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~WriterLock() RELEASE() { mutex_.unlock(); }
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;

 private:
  SharedMutex& mutex_;
};

/// Holds a SharedMutex shared for a scope.
class SCOPED_CAPABILITY ReaderLock {
 public:
  explicit ReaderLock(SharedMutex& mutex) ACQUIRE_SHARED(mutex) : mutex_(mutex) { mutex_.lock_shared(); }
  ~ReaderLock() RELEASE_GENERIC() { mutex_.unlock_shared(); }
  ReaderLock(const ReaderLock&) = delete;
  ReaderLock& operator=(const ReaderLock&) = delete;

 private:
  SharedMutex& mutex_;
};

}  // namespace ztmpfs
