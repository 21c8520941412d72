#include "base/cpu_quota.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

namespace lowkey {
namespace {

namespace fs = std::filesystem;

/// A mounted cgroup hierarchy that may limit processor time.
struct Hierarchy {
    bool v2 = false;
    std::string shown;  ///< the group that appears at the mount point
    std::string mount_point;
};

bool has_word(const std::string& list, const std::string& word) {
    std::istringstream words(list);
    for (std::string item; std::getline(words, item, ',');) {
        if (item == word) return true;
    }
    return false;
}

/// A line of /proc/self/mountinfo: 36 35 0:32 ROOT MOUNT_POINT OPTIONS [FIELDS...] - TYPE SOURCE
/// SUPER_OPTIONS.
std::vector<Hierarchy> mounted_hierarchies(const std::string& mountinfo) {
    std::vector<Hierarchy> found;
    std::ifstream file(mountinfo);
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string word;
        Hierarchy hierarchy;
        words >> word >> word >> word >> hierarchy.shown >> hierarchy.mount_point;
        while (words >> word && word != "-") {
        }
        std::string type;
        std::string super_options;
        words >> type >> word >> super_options;
        hierarchy.v2 = type == "cgroup2";
        if (hierarchy.v2 || (type == "cgroup" && has_word(super_options, "cpu")))
            found.push_back(std::move(hierarchy));
    }
    return found;
}

/// The process's group in a hierarchy, by /proc/self/cgroup: "0::/GROUP" in v2,
/// "4:cpu,cpuacct:/GROUP" in v1; empty where it has none.
std::string own_group(const std::string& cgroups, bool v2) {
    std::ifstream file(cgroups);
    for (std::string line; std::getline(file, line);) {
        const size_t first = line.find(':');
        const size_t second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        if (v2 ? controllers.empty() : has_word(controllers, "cpu")) return line.substr(second + 1);
    }
    return {};
}

/// Processors that one group's files grant; 0: no limit, or none that can be read.
double quota_of(const std::string& folder, bool v2) {
    double quota = 0;  // "max", which is no number, and v1's -1 say that there is none
    double period = 0;
    if (v2) {
        std::ifstream(folder + "/cpu.max") >> quota >> period;
    } else {
        std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
        std::ifstream(folder + "/cpu.cfs_period_us") >> period;
    }
    return quota > 0 && period > 0 ? quota / period : 0;
}

/// Of two quotas, 0 being none.
double stricter(double a, double b) { return a == 0 || (b > 0 && b < a) ? b : a; }

}  // namespace

double cpu_quota(const std::string& root) {
    double least = 0;
    for (const Hierarchy& hierarchy : mounted_hierarchies(root + "/proc/self/mountinfo")) {
        const std::string own = own_group(root + "/proc/self/cgroup", hierarchy.v2);
        if (own.empty()) continue;
        // Where the mount shows a part of the hierarchy, groups are named from the whole's root.
        fs::path group = fs::path(own).lexically_relative(hierarchy.shown);
        if (group.empty() || *group.begin() == "..") group = ".";
        fs::path folder = root + hierarchy.mount_point;
        for (const fs::path& name : group) {  // from the outermost group in
            least = stricter(least, quota_of(folder.string(), hierarchy.v2));
            folder /= name;
        }
        least = stricter(least, quota_of(folder.string(), hierarchy.v2));
    }
    return least;
}

}  // namespace lowkey
