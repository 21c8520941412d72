#pragma once

#include "lowkey/error.h"

namespace lowkey {

// Bugs of our own are not Errors: they end the program.
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
