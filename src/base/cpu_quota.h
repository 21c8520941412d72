#pragma once

#include <string>

namespace lowkey {

/// Processors' worth of time that the cgroups of this process grant it (0.5: half of one), the
/// smallest of its own group's and its ancestors'; 0: as much as there is. Knows cgroup v2
/// (`cpu.max`) and v1 (`cpu.cfs_quota_us`), also as containers see them, where a mount shows a part
/// of the hierarchy only. What cannot be read grants no less. `root` stands for `/`, for tests.
/// Source: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/, proc_pid_mountinfo(5).
double cpu_quota(const std::string& root = "/");

}  // namespace lowkey
