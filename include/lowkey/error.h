#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "lowkey/export.h"

namespace lowkey {

/// A failure that a user can act on. Its text is one line, "what: where; what to do", and the
/// command line prints it as it is. All that lowkey throws on purpose is an Error; what the
/// standard library throws (std::bad_alloc) passes through. Bugs of lowkey itself end the program.
class LOWKEY_API Error : public std::runtime_error {
public:
    /// `where` and `remedy` may be empty.
    Error(const std::string& what, const std::string& where, const std::string& remedy);
};

/// The command or call was worded wrongly (exit code 2 of the program).
class LOWKEY_API UsageError : public Error {
public:
    using Error::Error;
};

/// A file cannot be read or written, or what it holds is wrong; `where` starts with its path.
class LOWKEY_API FileError : public Error {
public:
    using Error::Error;
};

/// Well-formed, but something that lowkey does not do.
class LOWKEY_API UnsupportedError : public Error {
public:
    using Error::Error;
};

/// A request needs more cache memory than is free. Nothing was computed, and nothing changed.
class LOWKEY_API BudgetError : public Error {
public:
    BudgetError(int64_t needed_bytes, int64_t free_bytes, const std::string& where,
                const std::string& remedy);
    int64_t needed_bytes;  ///< pages that the request would take, beyond those that are held
    int64_t free_bytes;
};

}  // namespace lowkey
