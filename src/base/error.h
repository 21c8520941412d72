#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace lowkey {

/// A failure that a user can act on. Its text is one line, "what: where; what to do", and the
/// command line prints it as it is. Bugs of our own are not Errors: see LOWKEY_CHECK.
class Error : public std::runtime_error {
public:
    /// `where` and `remedy` may be empty.
    Error(const std::string& what, const std::string& where, const std::string& remedy);
};

/// The command or call was worded wrongly (exit code 2).
class UsageError : public Error {
public:
    using Error::Error;
};

/// A file cannot be read or written, or what it holds is wrong; `where` starts with its path.
class FileError : public Error {
public:
    using Error::Error;
};

/// Well-formed, but something that lowkey does not do.
class UnsupportedError : public Error {
public:
    using Error::Error;
};

/// A request needs more cache memory than is free.
class BudgetError : public Error {
public:
    BudgetError(int64_t needed_bytes, int64_t free_bytes, const std::string& where,
                const std::string& remedy);
    int64_t needed_bytes;
    int64_t free_bytes;
};

namespace detail {
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}

}  // namespace lowkey

/// Ends the program when one of our own assumptions is false. Input never reaches a check: it is
/// refused before.
#define LOWKEY_CHECK(condition)                                             \
    do {                                                                    \
        if (!(condition)) [[unlikely]]                                      \
            ::lowkey::detail::check_failed(#condition, __FILE__, __LINE__); \
    } while (false)

/// LOWKEY_CHECK for hot loops: debug builds only.
#ifdef NDEBUG
#define LOWKEY_DCHECK(condition) static_cast<void>(0)
#else
#define LOWKEY_DCHECK(condition) LOWKEY_CHECK(condition)
#endif
