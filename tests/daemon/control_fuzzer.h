#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "daemon/control_server.h"
#include "daemon/live_options.h"
#include "fs/volume.h"
#include "tests/daemon/temporary_directory.h"

namespace ztmpfs {

/// Feeds bytes to the control socket of a volume, with all routes of the daemon's behind it.
class ControlFuzzer {
 public:
  ControlFuzzer();
  ~ControlFuzzer();

  /// The first byte says in how many pieces the rest is sent by a client that then closes its end. Returns the status
  /// of each answer. Aborts if what comes back is no answer, tells of a failure of ours, or does not come; if
  /// something was changed although the answer says otherwise; or if the next client is not served.
  std::vector<unsigned> feed(std::span<const uint8_t> input);

 private:
  std::string exchange(std::span<const uint8_t> bytes, size_t pieces);
  std::vector<ControlRoute> routes();

  TemporaryDirectory directory_;
  SystemClock clock_;
  Volume volume_;
  LiveOptions live_options_;
  std::vector<std::string> psi_;
  unsigned changes_ = 0;  // that were asked for in the right way
  boost::asio::io_context io_{1};
  std::unique_ptr<ControlServer> server_;
};

}  // namespace ztmpfs
