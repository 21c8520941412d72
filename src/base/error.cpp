#include "base/error.h"

#include <cstdio>
#include <cstdlib>

#include "base/escape.h"
#include "base/size.h"

namespace lowkey {
namespace {

std::string one_line(const std::string& what, const std::string& where, const std::string& remedy) {
    std::string text = what;
    if (!where.empty()) text += ": " + where;
    if (!remedy.empty()) text += "; " + remedy;
    return printable(text);  // names from files are quoted here
}

}  // namespace

Error::Error(const std::string& what, const std::string& where, const std::string& remedy)
    : std::runtime_error(one_line(what, where, remedy)) {}

BudgetError::BudgetError(int64_t needed, int64_t free, const std::string& where,
                         const std::string& remedy)
    : Error("the KV cache has no room: " + format_bytes(needed) + " (" + std::to_string(needed) +
                " bytes) needed, " + format_bytes(free) + " free",
            where, remedy),
      needed_bytes(needed),
      free_bytes(free) {}

namespace detail {

void check_failed(const char* condition, const char* file, int line) {
    std::fprintf(stderr, "lowkey: internal error: %s does not hold (%s:%d); please report this\n",
                 condition, file, line);
    std::abort();
}

}  // namespace detail
}  // namespace lowkey
