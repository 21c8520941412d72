#include "tokenizer/tokenizer.h"

#include <filesystem>

#include "base/error.h"
#include "base/hash.h"
#include "base/mapped_file.h"
#include "tokenizer/sentencepiece_tokenizer.h"
#include "tokenizer/tekken.h"
#include "tokenizer/tokenizer_config.h"
#include "tokenizer/tokenizer_json.h"
#include "tokenizer/vocab_and_merges.h"

namespace lowkey {

bool Tokenizer::exists(const std::string& directory) {
    namespace fs = std::filesystem;
    std::error_code ignored;
    for (const char* name : {"tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json"}) {
        if (fs::exists(fs::path(directory) / name, ignored)) return true;
    }
    return false;
}

std::shared_ptr<const Tokenizer> Tokenizer::load(const std::string& directory) {
    namespace fs = std::filesystem;
    std::error_code ignored;
    const auto path = [&](const char* name) { return (fs::path(directory) / name).string(); };
    const auto has = [&](const char* name) { return fs::exists(path(name), ignored); };
    if (!fs::is_directory(directory, ignored))
        throw FileError("not a directory", directory, "give the directory of a model");
    const TokenizerConfig config = read_tokenizer_config(directory);
    if (has("tokenizer.json")) return load_tokenizer_json(path("tokenizer.json"), config);
    if (has("tokenizer.model")) return load_sentencepiece(path("tokenizer.model"), config);
    if (has("vocab.json") && has("merges.txt"))
        return load_vocab_and_merges(path("vocab.json"), path("merges.txt"), config);
    if (has("tekken.json")) return load_tekken(path("tekken.json"), config);
    throw FileError(
        "no tokenizer", directory,
        "expected tokenizer.json, tokenizer.model, vocab.json and merges.txt, or tekken.json");
}

std::string Tokenizer::fingerprint(const std::string& directory) {
    namespace fs = std::filesystem;
    Hasher hasher;
    for (const char* name :
         {"tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "tekken.json",
          "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"}) {
        const std::string path = (fs::path(directory) / name).string();
        std::error_code ignored;
        if (!fs::exists(path, ignored)) continue;
        const MappedFile file(path);
        hasher.add(std::string(name) + " " + std::to_string(file.bytes().size()) + ":");
        hasher.add(file.bytes());
    }
    return hasher.hex();
}

}  // namespace lowkey
