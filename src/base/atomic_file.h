#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace lowkey {

/// Writes a file that appears whole or not at all: bytes go to a temporary name in the same folder,
/// which commit() renames. Without commit() the temporary file is removed.
class AtomicFile {
public:
    /// Throws FileError at once when the folder cannot be written, so that long work can ask before
    /// it starts.
    explicit AtomicFile(const std::string& path);
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    /// Throws FileError (disk full, …).
    void write(std::span<const std::byte> bytes);
    void write(std::string_view text);
    /// Flushes to disk and gives the file its name. Throws FileError.
    void commit();

private:
    [[noreturn]] void fail(const char* what) const;

    std::string path_;
    std::string temporary_;
    int fd_ = -1;
};

/// Throws FileError when `path` could not be written: asked before long work whose result goes
/// there.
void check_writable(const std::string& path);

}  // namespace lowkey
