#include "tests/tokenizer/golden.h"

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace lowkey {

namespace fs = std::filesystem;

std::string golden_folder(const std::string& name) {
    return std::string(LOWKEY_TEST_DATA) + "/tokenizers/" + name;
}

std::vector<nlohmann::json> golden_lines(const std::string& name, const std::string& file) {
    std::ifstream in(golden_folder(name) + "/" + file);
    if (!in) throw std::runtime_error("missing: " + name + "/" + file);
    std::vector<nlohmann::json> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
}

CopiedFolder::CopiedFolder(const std::string& name, const std::vector<std::string>& files) {
    static std::atomic<int> counter{0};
    path_ = (fs::temp_directory_path() / ("lowkey_tokenizer_test_" + std::to_string(::getpid()) +
                                          "_" + std::to_string(counter++)))
                .string();
    fs::create_directories(path_);
    for (const std::string& file : files) {
        fs::copy_file(golden_folder(name) + "/" + file, path_ + "/" + file);
        fs::permissions(path_ + "/" + file, fs::perms::owner_write, fs::perm_options::add);
    }
}

CopiedFolder::~CopiedFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

void CopiedFolder::write(const std::string& file, const std::string& text) const {
    std::ofstream(path_ + "/" + file, std::ios::binary) << text;
}

}  // namespace lowkey
