#include <iostream>
#include <string>
#include <vector>

#include "base/runtime_dir.h"
#include "ctl/ztmpfsctl.h"

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  return ztmpfs::ztmpfsctl_main(arguments, {.runtime_dir = ztmpfs::runtime_dir(), .out = std::cout, .err = std::cerr});
}
