#pragma once

#include <atomic>
#include <cstdint>

namespace ztmpfs {

/// Names an object of the pool for as long as the object lives, wherever its bytes are moved to. 0 is no object.
using Handle = uint32_t;

/// Where and what an object is. Durable (region kHandles); `location` is stored last and cleared first.
struct HandleRecord {
  std::atomic<uint64_t> location;  ///< 0: free. Else a Location
  uint64_t tag;                    ///< belongs to the pool's user (the store keeps codec and checksum in it)
  uint32_t owner;                  ///< belongs to the pool's user (the store keeps its slot number in it)
  uint32_t size;                   ///< bytes asked for
};

}  // namespace ztmpfs
