#pragma once

#include <exception>
#include <new>
#include <string>
#include <system_error>
#include <type_traits>

#include "base/log.h"
#include "fuse/outcome.h"
#include "fuse/reader.h"
#include "fuse/translate.h"

namespace ztmpfs {

// What every handler is made of: find the reader, call the tree, reply once.

/// The reader that a request came by: its session's user data.
inline Reader& reader_of(fuse_req_t request) { return *static_cast<Reader*>(fuse_req_userdata(request)); }

/// Calls body(); what it throws becomes an error, with a log line.
template <class Body>
std::errc guarded(Reader& reader, Body&& body) {
  try {
    if (reader.hooks().before_execute) reader.hooks().before_execute(reader.slot().header().opcode);
    body();
    return {};
  } catch (const std::bad_alloc&) {
    return std::errc::not_enough_memory;
  } catch (const std::exception& error) {
    log_limited(LogLevel::kError, "handler", std::string("a request failed unexpectedly: ") + error.what());
  } catch (...) {
    log_limited(LogLevel::kError, "handler", "a request failed unexpectedly");
  }
  return std::errc::io_error;
}

/// Around each handler that replies. Once the reply is sent the request belongs to nobody.
template <class Body>
void serve(fuse_req_t request, Body&& body) {
  Reader& reader = reader_of(request);
  const std::errc error = guarded(reader, [&] { body(reader); });
  if (error != std::errc() && !reader.has_replied()) fuse_reply_err(request, to_errno(error));
}

/// The result of a request that changes something: executed once, even if servers die meanwhile.
template <class T, class Execute>
Result<T> result_for(Reader& reader, Execute&& execute) {
  Operation& operation = reader.operation();
  const bool is_recorded = operation.has_outcome();
  Result<T> result = result_of<T>(operation, [&] { return execute(reader.fs(), operation); });
  if constexpr (std::is_same_v<T, Attr>) {
    // Contents were freed or sealed since it was recorded, perhaps, and the server that was to tell the kernel is gone.
    if (is_recorded && result) result->blocks = reader.fs().getattr(result->ino).value_or(*result).blocks;
  }
  return result;
}

/// A request that changes something: executed once, even if servers die meanwhile. reply(value) on success.
template <class T, class Execute, class Reply>
void serve_change(fuse_req_t request, Execute&& execute, Reply&& reply) {
  serve(request, [&](Reader& reader) {
    reader.operation().set_umask(fuse_req_ctx(request)->umask);
    const Result<T> result = result_for<T>(reader, execute);
    if (!result) {
      fuse_reply_err(request, to_errno(result.error()));
    } else if constexpr (std::is_void_v<T>) {
      reply();
    } else {
      reply(*result);
    }
  });
}

/// The same, answered without a value.
template <class Execute>
void serve_done(fuse_req_t request, Execute&& execute) {
  serve_change<void>(request, execute, [&] { fuse_reply_err(request, 0); });
}

/// Answers with attributes that the kernel may keep.
inline void reply_attr(fuse_req_t request, const Attr& attr) {
  const struct stat status = to_stat(attr);
  fuse_reply_attr(request, &status, kForever);
}

}  // namespace ztmpfs
