#include <iostream>

#include "tests/daemon/metrics_document.h"

int main() { std::cout << ztmpfs::metrics_document(); }
