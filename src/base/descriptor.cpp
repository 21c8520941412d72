#include "base/descriptor.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

#include "base/error.h"

namespace lowkey {
namespace {

FileError failed(const char* what, const std::string& path) {
    return {what, path + " (" + std::strerror(errno) + ")", "check the path"};
}

const char* kind_of(mode_t mode) {
    if (S_ISDIR(mode)) return " (a folder)";
    if (S_ISFIFO(mode)) return " (a pipe)";
    if (S_ISSOCK(mode)) return " (a socket)";
    return " (a device)";
}

void check_regular(const struct stat& info, const std::string& path) {
    if (S_ISREG(info.st_mode)) return;
    throw FileError("not a regular file", path + kind_of(info.st_mode), "check the path");
}

void read_to_end(int fd, const std::string& path, std::string& out) {
    std::array<char, size_t{1} << 16> bytes;
    for (;;) {
        const ssize_t count = ::read(fd, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw failed("cannot read file", path);
        if (count == 0) return;
        out.append(bytes.data(), static_cast<size_t>(count));
    }
}

}  // namespace

Descriptor::~Descriptor() {
    if (fd_ >= 0) close(fd_);
}

bool write_all(const Descriptor& file, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(file.get(), bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        bytes = bytes.subspan(static_cast<size_t>(written));
    }
    return true;
}

std::optional<int> descriptor_of(const std::string& path) {
    if (path == "/dev/stdin") return STDIN_FILENO;
    if (path == "/dev/stdout") return STDOUT_FILENO;
    if (path == "/dev/stderr") return STDERR_FILENO;
    for (const std::string_view folder : {"/dev/fd/", "/proc/self/fd/"}) {
        if (!path.starts_with(folder)) continue;
        int number = -1;
        const char* end = path.data() + path.size();
        const auto [last, error] = std::from_chars(path.data() + folder.size(), end, number);
        if (error == std::errc() && last == end && number >= 0) return number;
    }
    return std::nullopt;
}

Descriptor open_regular(const std::string& path) {
    struct stat info = {};
    // Asked before opening, which means something to some devices, and is refused by sockets.
    if (stat(path.c_str(), &info) == 0) check_regular(info, path);
    // A FIFO that took the file's place since then would wait, but for O_NONBLOCK.
    Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file.is_open()) throw failed("cannot open file", path);
    if (fstat(file.get(), &info) != 0) throw failed("cannot read file", path);
    check_regular(info, path);
    return file;
}

std::string read_text(const std::string& path) {
    std::string text;
    if (path == "-") {
        read_to_end(STDIN_FILENO, "standard input", text);
    } else if (const auto stream = descriptor_of(path); stream) {
        read_to_end(*stream, path, text);
    } else {
        const Descriptor file = open_regular(path);
        struct stat info = {};
        if (fstat(file.get(), &info) == 0) text.reserve(static_cast<size_t>(info.st_size));
        read_to_end(file.get(), path, text);
    }
    return text;
}

}  // namespace lowkey
