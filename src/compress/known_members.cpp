#include "compress/known_members.h"

#include <algorithm>

namespace lowkey {

void refuse_unknown_members(const JsonReader& object, std::initializer_list<const char*> known) {
    for (const auto& [name, member] : object.members()) {
        const bool is_known = std::any_of(known.begin(), known.end(),
                                          [&, &key = name](const char* k) { return key == k; });
        if (!is_known) {
            member.fail("this lowkey does not know '" + name + "'",
                        "make the file again with this lowkey");
        }
    }
}

}  // namespace lowkey
