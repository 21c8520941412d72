#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace lowkey {

/// Owns an open file of the system's; closed with the object.
class Descriptor {
public:
    Descriptor() = default;
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor();
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;

    [[nodiscard]] int get() const { return fd_; }
    [[nodiscard]] bool is_open() const { return fd_ >= 0; }

private:
    int fd_ = -1;
};

/// Writes all of the bytes, however the system takes them; false, with errno, where it refuses.
bool write_all(const Descriptor& file, std::span<const std::byte> bytes);

/// The number of the open file that a path names: /dev/stdin, /dev/stdout, /dev/stderr, /dev/fd/N,
/// /proc/self/fd/N; nothing for all others. Such paths are streams: what opens them by name starts
/// at their beginning again.
std::optional<int> descriptor_of(const std::string& path);

/// Opens a file that must be a regular one: what waits for others (a FIFO, a socket, a terminal)
/// or is no file (a folder, a device) is refused at once. Throws FileError.
Descriptor open_regular(const std::string& path);

/// All of a text that a user names: a regular file, or a stream, which is read to its end: "-"
/// (standard input), /dev/stdin, /dev/fd/N. Throws FileError.
std::string read_text(const std::string& path);

}  // namespace lowkey
