#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace ztmpfs {

void check_failed(const char* file, int line, const char* condition, const char* reason) {
  std::fprintf(stderr, "ztmpfs: %s:%d: broken invariant: %s (%s)\n", file, line, reason, condition);
  std::abort();
}

}  // namespace ztmpfs
