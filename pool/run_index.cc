#include "pool/run_index.h"

#include <algorithm>

namespace ztmpfs {

void RunIndex::set(uint32_t chunk, uint32_t longest) {
  if (chunk >= longest_.size()) longest_.resize(chunk + 1);
  longest = std::min(longest, kRunPagesMax);
  for (uint32_t length = longest_[chunk] + 1U; length <= longest; ++length)
    lowest_[length] = std::min(lowest_[length], chunk);
  longest_[chunk] = uint8_t(longest);
  if (longest > 0) end_ = std::max(end_, chunk + 1);
}

uint32_t RunIndex::find(uint32_t length) {
  uint32_t& chunk = lowest_[length];
  while (chunk < longest_.size() && longest_[chunk] < length) ++chunk;
  return chunk < longest_.size() ? chunk : kNoChunk;
}

uint32_t RunIndex::find_last() {
  while (end_ > 0 && longest_[end_ - 1] == 0) --end_;
  return end_ > 0 ? end_ - 1 : kNoChunk;
}

}  // namespace ztmpfs
