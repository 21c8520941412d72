#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/descriptor.h"

namespace lowkey {

/// Writes a file that appears whole or not at all: bytes go to a temporary name in the same folder,
/// which commit() renames. Without commit() the temporary file is removed. A new file gets the
/// permissions that the umask leaves it, one that is replaced keeps its own; of a link, what it
/// points to is replaced. What is no regular file (/dev/null, /dev/stdout, a FIFO) is written into
/// as the bytes come.
class AtomicFile {
public:
    /// Throws FileError at once when the file or its folder cannot be written, so that long work
    /// can ask before it starts. Waits for the reader of a FIFO.
    explicit AtomicFile(const std::string& path);
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    /// Throws FileError (disk full, …).
    void write(std::span<const std::byte> bytes);
    void write(std::string_view text);
    /// Flushes to disk and gives the file its name, which outlasts a crash of the machine. Throws
    /// FileError.
    void commit();

private:
    void open_temporary(bool replaces);
    [[noreturn]] void fail(const char* what) const;

    std::string path_;              ///< as it was given, for messages
    std::string target_;            ///< the file itself, behind all links
    std::string temporary_;         ///< empty where bytes go straight to the target
    std::optional<unsigned> mode_;  ///< of the file that is replaced
    Descriptor file_;
};

/// Throws FileError when `path` could not be written: asked before long work whose result goes
/// there. Opens nothing that would notice.
void check_writable(const std::string& path);

}  // namespace lowkey
