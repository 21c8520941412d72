#include "cli/haystack.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/hash.h"
#include "cli/command.h"

namespace lowkey::cli {

std::vector<std::string> read_haystack(const std::string& path) {
    if (!std::filesystem::is_directory(path)) return {read_text(path)};
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
        if (entry.is_regular_file()) names.push_back(entry.path().string());
    }
    std::sort(names.begin(), names.end());
    std::vector<std::string> texts;
    texts.reserve(names.size());
    for (const std::string& name : names) texts.push_back(read_text(name));
    if (texts.empty()) throw FileError("no texts", path, "give a folder of text files");
    return texts;
}

std::string fingerprint(const std::vector<std::string>& texts) {
    Hasher hasher;
    for (const std::string& text : texts) {
        hasher.add(std::to_string(text.size()) + ":");  // keeps texts apart
        hasher.add(text);
    }
    return hasher.hex();
}

}  // namespace lowkey::cli
