#pragma once

#include <functional>
#include <string>

#include "io/json_reader.h"

namespace lowkey {

/// Reads a file of one JSON document per line (.jsonl), each parsed as parse_json() does when its
/// turn comes, so that a line is all that is held. Lines of white space are skipped. `on_line` gets
/// the document, whose errors name "path:line", for the time of the call, and says whether to go
/// on. Throws FileError; so does a line of more than 256 MiB.
void read_json_lines(const std::string& path,
                     const std::function<bool(const JsonReader& line)>& on_line);

}  // namespace lowkey
