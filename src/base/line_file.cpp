#include "base/line_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>

#include "base/error.h"

namespace lowkey {

LineFile::LineFile(const std::string& path)
    : path_(path), file_(open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) {
    if (!file_.is_open()) fail("cannot open file");
}

bool LineFile::lock() { return flock(file_.get(), LOCK_EX | LOCK_NB) == 0; }

void LineFile::cut(int64_t bytes) {
    if (ftruncate(file_.get(), bytes) != 0) fail("cannot write file");
}

void LineFile::add(std::string_view line) {
    const std::string text = std::string(line) + '\n';
    if (!write_all(file_, std::as_bytes(std::span(text)))) fail("cannot write file");
}

void LineFile::fail(const char* what) const {
    throw FileError(what, path_ + " (" + std::strerror(errno) + ")",
                    "check that the folder exists, can be written and has room");
}

}  // namespace lowkey
