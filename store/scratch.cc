#include "store/scratch.h"

#include <array>
#include <vector>

namespace ztmpfs {

std::span<std::byte> scratch(ScratchUse use, size_t size) {
  thread_local std::array<std::vector<std::byte>, size_t(ScratchUse::kCount)> memory;
  auto& bytes = memory[size_t(use)];
  if (bytes.size() < size) bytes.resize(size);
  return {bytes.data(), size};
}

}  // namespace ztmpfs
