#pragma once

#include <optional>
#include <string>

namespace lowkey::cli {

/// Reads lines from a file descriptor. Unlike the streams of C and C++, a signal ends its waiting.
class LineReader {
public:
    /// `descriptor` stays the caller's.
    explicit LineReader(int descriptor) : descriptor_(descriptor) {}

    /// The next line without its end; nothing at the end of the file and when a signal came first.
    /// Throws FileError for a read that fails and for a line of more than 16 MiB.
    std::optional<std::string> next();

private:
    int descriptor_;
    std::string buffer_;
    bool at_end_ = false;
};

}  // namespace lowkey::cli
