// Whatever is sent to the control socket: no crash, an answer in HTTP, nothing half applied, and the next one is
// served.
#include "base/log.h"
#include "tests/daemon/control_fuzzer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  [[maybe_unused]] static const bool is_open = (ztmpfs::log_open(false, "fuzz"), true);
  static ztmpfs::ControlFuzzer fuzzer;
  fuzzer.feed({data, size});
  return 0;
}
