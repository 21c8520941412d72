#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"

namespace lowkey::fuzz {

/// A file without a disk, filled anew for each input.
class MemoryFile {
public:
    MemoryFile() : fd_(memfd_create("fuzz", MFD_CLOEXEC)) { LOWKEY_CHECK(fd_ >= 0); }
    ~MemoryFile() { close(fd_); }
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;

    void fill(std::string_view bytes) const {
        LOWKEY_CHECK(ftruncate(fd_, static_cast<off_t>(bytes.size())) == 0);
        LOWKEY_CHECK(pwrite(fd_, bytes.data(), bytes.size(), 0) ==
                     static_cast<ssize_t>(bytes.size()));
    }
    [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

private:
    int fd_;
};

}  // namespace lowkey::fuzz
