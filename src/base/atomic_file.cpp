#include "base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/error.h"

namespace lowkey {

AtomicFile::AtomicFile(const std::string& path) : path_(path) {
    struct stat info = {};
    if (path.empty()) throw UsageError("empty output path", "", "name a file");
    if (stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
        throw FileError("cannot write file", path + " (is a directory)", "name a file in it");
    }
    temporary_ = path + ".XXXXXX";
    fd_ = mkostemp(temporary_.data(), O_CLOEXEC);
    if (fd_ < 0) fail("cannot write file");
    fchmod(fd_, 0644);
}

AtomicFile::~AtomicFile() {
    if (fd_ < 0) return;
    close(fd_);
    unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) fail("cannot write file");
        bytes = bytes.subspan(static_cast<size_t>(written));
    }
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::commit() {
    if (fsync(fd_) != 0 && errno != EINVAL && errno != EROFS) fail("cannot write file");
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail("cannot write file");
    close(fd_);
    fd_ = -1;
}

void AtomicFile::fail(const char* what) const {
    throw FileError(what, path_ + " (" + std::strerror(errno) + ")",
                    "check that the folder exists, can be written and has room");
}

void check_writable(const std::string& path) { const AtomicFile probe(path); }

}  // namespace lowkey
