#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lowkey {

/// The folder of a tokenizer with vectors that the reference implementations made (see
/// tests/data/tokenizers/README.md).
std::string golden_folder(const std::string& name);
/// The lines of one of its files, `cases.jsonl` or `decode.jsonl`.
std::vector<nlohmann::json> golden_lines(const std::string& name, const std::string& file);

/// A new directory with copies of some files of a golden folder; gone with the object.
class CopiedFolder {
public:
    CopiedFolder(const std::string& name, const std::vector<std::string>& files);
    ~CopiedFolder();
    CopiedFolder(const CopiedFolder&) = delete;
    CopiedFolder& operator=(const CopiedFolder&) = delete;

    [[nodiscard]] const std::string& path() const { return path_; }
    void write(const std::string& file, const std::string& text) const;

private:
    std::string path_;
};

}  // namespace lowkey
