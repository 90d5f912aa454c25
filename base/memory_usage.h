#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/bytes.h"

namespace ztmpfs {

/// Anonymous resident memory of a process (RssAnon of proc_pid_status(5)); 0 if the process is gone.
Bytes anonymous_memory(pid_t pid);

/// Memory that a memfd keeps resident (or swapped): st_blocks of fstat(2), exact on tmpfs.
Bytes allocated_memory(int memfd);

/// The smaller of the machine's RAM and the memory limit of this process's cgroup (v1 or v2).
Bytes usable_ram();

/// How often the kernel has killed a process for want of memory since it was started (oom_kill of /proc/vmstat); 0 if
/// it does not tell. Allocates nothing.
uint64_t oom_kills();

/// Whether the system has anything in swap (sysinfo(2)).
bool is_swap_in_use();

}  // namespace ztmpfs
