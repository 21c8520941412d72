#include "base/cpu_quota.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace lowkey {
namespace {

/// A file system with the files that tell of control groups.
class CpuQuota : public ::testing::Test {
protected:
    CpuQuota() {
        const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
        root_ = ::testing::TempDir() + "/lowkey-cpu-quota-" + test->name();
        std::filesystem::remove_all(root_);
    }
    ~CpuQuota() override { std::filesystem::remove_all(root_); }
    CpuQuota(const CpuQuota&) = delete;
    CpuQuota& operator=(const CpuQuota&) = delete;

    void write(const std::string& path, const std::string& text) const {
        std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
        std::ofstream(root_ + path) << text;
    }
    void mount_v2(const std::string& shown) const {
        write("/proc/self/mountinfo",
              "22 1 0:20 / /proc rw - proc proc rw\n"
              "30 23 0:26 " +
                  shown + " /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
    }
    void mount_v1(const std::string& shown) const {
        write("/proc/self/mountinfo",
              "31 23 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
              "32 23 0:28 " +
                  shown + " /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n");
    }
    [[nodiscard]] double quota() const { return cpu_quota(root_); }

    std::string root_;
};

TEST_F(CpuQuota, IsTheStrictestOfAGroupAndItsAncestors) {
    mount_v2("/");
    write("/proc/self/cgroup", "0::/jobs/one\n");
    write("/sys/fs/cgroup/jobs/cpu.max", "50000 100000\n");
    write("/sys/fs/cgroup/jobs/one/cpu.max", "300000 100000\n");
    EXPECT_DOUBLE_EQ(quota(), 0.5);
    write("/sys/fs/cgroup/jobs/one/cpu.max", "25000 100000\n");
    EXPECT_DOUBLE_EQ(quota(), 0.25);
}

TEST_F(CpuQuota, MaxIsNoLimit) {
    mount_v2("/");
    write("/proc/self/cgroup", "0::/jobs\n");
    write("/sys/fs/cgroup/jobs/cpu.max", "max 100000\n");
    EXPECT_EQ(quota(), 0);
}

TEST_F(CpuQuota, OfAContainerStandsAtItsMountPoint) {
    // Its own namespace names the group "/"; without one it is named from the host's root.
    mount_v2("/");
    write("/proc/self/cgroup", "0::/\n");
    write("/sys/fs/cgroup/cpu.max", "150000 100000\n");
    EXPECT_DOUBLE_EQ(quota(), 1.5);
    mount_v2("/docker/abc");
    write("/proc/self/cgroup", "0::/docker/abc\n");
    EXPECT_DOUBLE_EQ(quota(), 1.5);
    mount_v1("/docker/abc");
    write("/proc/self/cgroup", "4:cpu,cpuacct:/docker/abc\n3:cpuset:/\n");
    write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "200000\n");
    write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    EXPECT_DOUBLE_EQ(quota(), 2);
}

TEST_F(CpuQuota, OfTheFirstVersionIsKnown) {
    mount_v1("/");
    write("/proc/self/cgroup", "4:cpu,cpuacct:/jobs\n3:cpuset:/other\n0::/\n");
    write("/sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us", "50000\n");
    write("/sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us", "100000\n");
    EXPECT_DOUBLE_EQ(quota(), 0.5);
    write("/sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us", "-1\n");
    EXPECT_EQ(quota(), 0);
}

TEST_F(CpuQuota, FilesThatAreMissingOrNonsenseLimitNothing) {
    EXPECT_EQ(quota(), 0);
    mount_v2("/elsewhere");
    write("/proc/self/cgroup", "no colons\n0::/jobs/../../..\n");
    write("/sys/fs/cgroup/cpu.max", "many\n");
    EXPECT_EQ(quota(), 0);
    write("/proc/self/mountinfo", "short line\n\n - cgroup2\n");
    EXPECT_EQ(quota(), 0);
}

}  // namespace
}  // namespace lowkey
