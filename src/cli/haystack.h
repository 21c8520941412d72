#pragma once

#include <string>
#include <vector>

namespace lowkey::cli {

/// The texts that prompts are filled with: the files of a folder by name, or one file. Throws
/// FileError when there is none.
std::vector<std::string> read_haystack(const std::string& path);
/// A hash of texts.
std::string fingerprint(const std::vector<std::string>& texts);

}  // namespace lowkey::cli
