#include "tokenizer/tekken.h"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>
#include <vector>

#include "io/json_reader.h"
#include "tokenizer/bpe.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/component.h"
#include "tokenizer/merge_tokens.h"
#include "tokenizer/pipeline_tokenizer.h"
#include "tokenizer/vocabulary.h"

namespace lowkey {
namespace {

constexpr size_t kMaxTokenBytes = 1024;  // all places to cut a token are tried
constexpr int64_t kMaxSpecialTokens = 1 << 20;

// Those of files that have no list, which are of the first version.
constexpr const char* kFirstSpecialTokens[] = {"<unk>",
                                               "<s>",
                                               "</s>",
                                               "[INST]",
                                               "[/INST]",
                                               "[AVAILABLE_TOOLS]",
                                               "[/AVAILABLE_TOOLS]",
                                               "[TOOL_RESULTS]",
                                               "[/TOOL_RESULTS]",
                                               "[TOOL_CALLS]",
                                               "[IMG]",
                                               "<pad>",
                                               "[IMG_BREAK]",
                                               "[IMG_END]",
                                               "[PREFIX]",
                                               "[MIDDLE]",
                                               "[SUFFIX]",
                                               "[SYSTEM_PROMPT]",
                                               "[/SYSTEM_PROMPT]",
                                               "[TOOL_CONTENT]"};

std::string decode_base64(const JsonReader& value) {
    static const std::array<int8_t, 256> digits = [] {
        std::array<int8_t, 256> table{};
        table.fill(-1);
        const std::string_view alphabet =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for (size_t i = 0; i < alphabet.size(); ++i)
            table[static_cast<uint8_t>(alphabet[i])] = static_cast<int8_t>(i);
        return table;
    }();
    std::string text = value.string();
    while (text.ends_with('=')) text.pop_back();
    std::string bytes;
    uint32_t bits = 0;
    int num_bits = 0;
    for (const char c : text) {
        const int digit = digits[static_cast<uint8_t>(c)];
        if (digit < 0) value.fail("not base64");
        bits = (bits << 6) | static_cast<uint32_t>(digit);
        num_bits += 6;
        if (num_bits < 8) continue;
        num_bits -= 8;
        bytes += static_cast<char>((bits >> num_bits) & 0xFFU);
    }
    return bytes;
}

// In the order of their ids, with fillers up to the number that the file asks for.
std::vector<std::string> read_special_tokens(const JsonReader& root) {
    std::vector<std::string> tokens;
    if (root.has("special_tokens")) {
        const auto entries = root.at("special_tokens").items();
        tokens.resize(entries.size());
        std::vector<bool> seen(entries.size(), false);
        for (const JsonReader& entry : entries) {
            const auto last = static_cast<int64_t>(entries.size()) - 1;
            const auto rank = static_cast<size_t>(entry.at("rank").integer(0, last));
            if (seen[rank]) entry.fail("two special tokens have the rank " + std::to_string(rank));
            seen[rank] = true;
            tokens[rank] = entry.at("token_str").string();
            if (tokens[rank].empty() || tokens[rank].size() > TokenTrie::kMaxBytes)
                entry.at("token_str").fail("token that is empty or too long");
        }
    } else {
        tokens.assign(std::begin(kFirstSpecialTokens), std::end(kFirstSpecialTokens));
    }
    const auto wanted = static_cast<size_t>(root.at("config").integer_or(
        "default_num_special_tokens", static_cast<int64_t>(tokens.size()), 0, kMaxSpecialTokens));
    while (tokens.size() < wanted) {
        std::string filler = "<SPECIAL_";
        filler.append(std::to_string(tokens.size())).append(">");
        tokens.push_back(std::move(filler));
    }
    return tokens;
}

// The bytes of tokens by rank.
std::vector<std::string> read_ranks(const JsonReader& root, size_t num_special) {
    const JsonReader vocab = root.at("vocab");
    if (!vocab.is_array()) vocab.fail("expected an array of tokens");
    size_t count = vocab.value().size();
    const JsonReader config = root.at("config");
    if (config.has("default_vocab_size")) {
        const int64_t size = config.at("default_vocab_size")
                                 .integer(static_cast<int64_t>(num_special), kMaxTokenIds);
        count = std::min(count, static_cast<size_t>(size) - num_special);
    }
    std::vector<std::string> ranks;
    ranks.reserve(count);
    // Not by items(): there are 130k, and only a bad one needs a name in a message.
    for (size_t i = 0; i < count; ++i) {
        const JsonReader entry(vocab.value()[i], root.file(), "vocab[" + std::to_string(i) + "]");
        ranks.push_back(decode_base64(entry.at("token_bytes")));
        if (ranks.back().empty() || ranks.back().size() > kMaxTokenBytes)
            entry.at("token_bytes").fail("token that is empty or too long");
    }
    return ranks;
}

// All pairs of tokens that make a token, by its rank, then by those of the parts.
std::vector<std::pair<std::string, std::string>> find_merges(const std::vector<std::string>& ranks,
                                                             const ByteLevelAlphabet& alphabet) {
    std::unordered_map<std::string_view, size_t> rank_of;
    for (size_t i = 0; i < ranks.size(); ++i) rank_of.emplace(ranks[i], i);
    std::vector<std::string> texts(ranks.size());
    for (size_t i = 0; i < ranks.size(); ++i) alphabet.append_mapped(texts[i], ranks[i]);
    std::vector<std::pair<std::string, std::string>> merges;
    std::vector<std::pair<size_t, size_t>> parts;
    for (const std::string_view token : ranks) {
        parts.clear();
        for (size_t cut = 1; cut < token.size(); ++cut) {
            const auto left = rank_of.find(token.substr(0, cut));
            if (left == rank_of.end()) continue;
            const auto right = rank_of.find(token.substr(cut));
            if (right != rank_of.end()) parts.emplace_back(left->second, right->second);
        }
        std::sort(parts.begin(), parts.end());
        for (const auto& [left, right] : parts) merges.emplace_back(texts[left], texts[right]);
    }
    return merges;
}

}  // namespace

std::shared_ptr<const Tokenizer> load_tekken(const std::string& path, TokenizerConfig config) {
    const auto document = read_json_file(path, kMaxVocabularyBytes);
    const JsonReader root(document, path);
    const std::vector<std::string> special = read_special_tokens(root);
    const std::vector<std::string> ranks = read_ranks(root, special.size());
    const ByteLevelAlphabet alphabet;
    Vocabulary vocabulary;
    for (size_t i = 0; i < ranks.size(); ++i) {
        std::string text;
        alphabet.append_mapped(text, ranks[i]);
        if (!vocabulary.add(std::move(text), static_cast<int32_t>(special.size() + i)))
            root.at("vocab").fail("two tokens have the same bytes: rank " + std::to_string(i));
    }
    std::vector<AddedToken> own;
    for (size_t i = 0; i < special.size(); ++i)
        own.push_back({.id = static_cast<int32_t>(i), .content = special[i], .special = true});
    config.set_default("bos_token", "<s>");
    config.set_default("eos_token", "</s>");

    Pipeline pipeline;
    pipeline.model = std::make_unique<Bpe>(std::move(vocabulary), find_merges(ranks, alphabet),
                                           BpeOptions{.ignore_merges = true}, path);
    const JsonReader pattern = root.at("config").at("pattern");
    pipeline.pre_tokenizer = make_byte_level_pre_tokenizer(
        false, pattern.string(), component_place(root.at("config"), "pattern"));
    pipeline.decoder = Decoder::byte_level();
    pipeline.added_tokens = AddedTokens(
        merge_added_tokens(std::move(own), config, pipeline.model->vocabulary()), nullptr, path);
    if (config.add_bos_token.value_or(true) && config.bos_token) {
        if (const int32_t bos = pipeline.added_tokens.id(*config.bos_token); bos != kNoToken)
            pipeline.post_processor.before = {bos};
    }
    return std::make_shared<PipelineTokenizer>(std::move(pipeline), config);
}

}  // namespace lowkey
