#include "eval/protocols.h"

#include <fmt/format.h>

namespace lowkey {

std::string windows_scored(std::optional<int64_t> prefill) {
    if (!prefill) return "tokens of windows that are one prompt each, through the cache";
    return fmt::format("tokens decoded through the cache after a prompt of {}", *prefill);
}

}  // namespace lowkey
