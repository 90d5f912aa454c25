#include "daemon/check_image.h"

#include <boost/json.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "base/clock.h"
#include "daemon/server.h"
#include "daemon/server_descriptors.h"
#include "fuse/request_slot.h"

namespace ztmpfs {

std::vector<std::string> check_image(ImageFiles files, const VolumeOptions& options) {
  try {
    VolumeOptions harmless = options;
    harmless.access = ImageAccess::kPrivate;
    harmless.count_heaps = false;
    static_cast<void>(files.changed_options());
    const SystemClock clock;
    Volume volume(std::move(files), harmless, clock);
    for (uint32_t slot = 0; slot < volume.image().geometry().request_slots; ++slot)
      static_cast<void>(RequestSlot(volume.image(), slot).reader().saved_init());
    return volume.fs().audit();
  } catch (const std::exception& refusal) {
    return {refusal.what()};
  }
}

int check_main(const std::vector<std::string>& arguments) {
  std::vector<std::string> breaches;
  try {
    ImageFiles files = parse_image_argument(kCheckArgument, arguments.front());
    const Options options = server_options(arguments, files);
    breaches = check_image(std::move(files), volume_options(options));
  } catch (const std::exception& error) {
    breaches = {error.what()};
  }
  const boost::json::object answer{{"ok", breaches.empty()},
                                   {"breaches", boost::json::array(breaches.begin(), breaches.end())}};
  std::puts(boost::json::serialize(answer).c_str());
  return breaches.empty() ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace ztmpfs
