#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/psi_option.h"
#include "daemon/psi_trigger.h"

namespace ztmpfs {

enum class PsiSourceKind : uint8_t {
  kFile,    ///< a pressure file of the kernel's: takes triggers, tells by POLLPRI
  kFifo,    ///< whatever arrives tells of pressure; read and thrown away
  kSocket,  ///< the same from a Unix stream socket that is connected to
};

/// Something that tells of memory pressure.
struct PsiSource {
  std::string path;
  PsiSourceKind kind = PsiSourceKind::kFile;
  std::vector<PsiTrigger> triggers;  ///< of a file: one per level, each for a descriptor of its own
  std::string greeting;              ///< of a FIFO or socket: bytes to write after opening; may be empty
  bool may_come_back = true;         ///< false: if it is not there, the kernel does not have it at all
};

/// Where sources are looked for; tests give their own.
struct PsiSurroundings {
  std::string system_pressure = "/proc/pressure/memory";
  std::string cgroup = "/proc/self/cgroup";
  std::string mountinfo = "/proc/self/mountinfo";
  std::optional<std::string> watch;  ///< $MEMORY_PRESSURE_WATCH
  std::optional<std::string> write;  ///< $MEMORY_PRESSURE_WRITE

  /// Those of this process.
  static PsiSurroundings current();
};

/// What to watch, and sentences about what was asked for but cannot be.
struct PsiSources {
  std::vector<PsiSource> sources;
  std::vector<std::string> warnings;
};

/// Finds what tells of memory pressure: the whole system's file (always); what the service manager names in the
/// environment (systemd's docs/PRESSURE.md; "/dev/null" turns watching off unless psi= asks for it); and the memory
/// pressure of the own cgroup, unless it is the root or named already. A path in `option` replaces them all.
PsiSources find_psi_sources(const PsiOption& option, const PsiSurroundings& surroundings);

/// Why psi=PATH cannot work now, as the rest of a sentence that starts with the option; empty if it can. To be asked
/// before a mount is made, not by a server that takes over: a source may be away then and come back.
std::string psi_path_error(const std::string& path);

/// The bytes that `text` stands for (RFC 4648, with padding); nothing if it is malformed.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace ztmpfs
