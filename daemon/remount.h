#pragma once

#include <string>
#include <vector>

#include "daemon/options.h"

namespace ztmpfs {

/// True if the settings are those of `mount -o remount`, which changes a mount that is there.
bool is_remount(const std::vector<Setting>& settings);

/// True if the settings have `by_service`: mount nothing, only see that it is mounted.
bool is_by_service(const std::vector<Setting>& settings);

/// Throws std::runtime_error if `name` is not mounted on `mountpoint`. For mount units that only wait for a service.
void require_mounted(const std::string& name, const std::string& mountpoint);

/// Does what `mount -o remount` asks of the ztmpfs on `mountpoint`: size, hot and psi as `ztmpfsctl set` changes them,
/// then the flags (ro, noexec and the like; for root only) if any is given: all of them, for mount(8) leaves out what
/// is to be taken back. Other options of ztmpfs are checked and stay as they are: mount(8) passes on all that fstab
/// says. Throws UsageError for what makes no sense, std::runtime_error for what is refused; flags have not changed
/// then.
void remount(const std::string& mountpoint, const std::vector<Setting>& settings, const Surroundings& surroundings);

}  // namespace ztmpfs
