#include "fuse/connection_end.h"

#include "base/durable_store.h"
#include "fs/operation.h"

namespace ztmpfs {

void drop_connection(Volume& volume) {
  volume.fs().end_connection();
  const Image& image = volume.image();
  for (uint32_t slot = 0; slot < image.geometry().request_slots; ++slot) {
    // Reads as zeros then: no request, no FUSE_INIT, nothing negotiated, no counts. Before the intents: what has no
    // outcome is executed.
    const Region buffer = image.buffer(slot);
    buffer.punch(0, buffer.length());
    RequestRecord& request = request_record(image, slot);
    durable_store(request.attempts, 0);
    durable_store(request.intent.state, IntentRecord::kIdle);
  }
}

}  // namespace ztmpfs
