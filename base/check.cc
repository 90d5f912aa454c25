#include "base/check.h"

#include <syslog.h>

#include <cstdio>
#include <cstdlib>

#include "base/journal_client.h"

namespace ztmpfs {

void check_failed(const char* file, int line, const char* condition, const char* reason) {
  const std::string_view prefix = journal_prefix(LOG_CRIT);
  std::fprintf(stderr, "%.*sztmpfs: %s:%d: broken invariant: %s (%s)\n", int(prefix.size()), prefix.data(), file, line,
               reason, condition);
  std::abort();
}

}  // namespace ztmpfs
