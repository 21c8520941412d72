#pragma once

#include <initializer_list>

#include "io/json_reader.h"

namespace lowkey {

/// Refuses an object that has a member not among the known ones: what a newer program meant by it
/// would be lost. Throws FileError naming the file and the member.
void refuse_unknown_members(const JsonReader& object, std::initializer_list<const char*> known);

}  // namespace lowkey
