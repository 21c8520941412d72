#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/descriptor.h"

namespace lowkey {

/// A file of lines that grows as work goes on and outlasts whoever writes it: a line is in the file
/// once it was added, and a killed process leaves at most a part of its last one.
class LineFile {
public:
    /// Opens the file, or makes an empty one. Throws FileError.
    explicit LineFile(const std::string& path);

    /// False where another LineFile has it, of this process or another; until this one goes, that
    /// is false of all others.
    [[nodiscard]] bool lock();
    /// Leaves the first so many bytes of it. Throws FileError.
    void cut(int64_t bytes);
    /// Appends a line and its end. Throws FileError (disk full, …).
    void add(std::string_view line);

private:
    [[noreturn]] void fail(const char* what) const;

    std::string path_;
    Descriptor file_;
};

}  // namespace lowkey
