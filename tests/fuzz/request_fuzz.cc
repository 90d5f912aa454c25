// Whatever the kernel's end of the connection sends: no crash, and one reply to what can be answered.
#include "tests/support/request_fuzzer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static ztmpfs::RequestFuzzer fuzzer;
  fuzzer.feed({data, size});
  return 0;
}
