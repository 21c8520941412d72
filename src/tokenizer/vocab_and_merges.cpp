#include "tokenizer/vocab_and_merges.h"

#include <utility>

#include "base/error.h"
#include "base/mapped_file.h"
#include "io/json_reader.h"
#include "tokenizer/bpe.h"
#include "tokenizer/merge_tokens.h"
#include "tokenizer/pipeline_tokenizer.h"
#include "tokenizer/vocabulary.h"

namespace lowkey {
namespace {

constexpr const char* kEndOfText = "<|endoftext|>";

// Qwen 2's pattern, and Qwen 3.5's, where marks belong to letters.
constexpr const char* kQwen2Pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr const char* kQwen35Pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| "
    "?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

struct TokenDefault {
    const char* role;
    const char* text;
};

// What a class of tokenizers adds to its two files.
struct TokenizerClass {
    const char* name;
    bool composes;        // normalizes to NFC
    const char* pattern;  // null: GPT-2's
    std::vector<TokenDefault> defaults;
};

const std::vector<TokenizerClass>& tokenizer_classes() {
    static const std::vector<TokenizerClass> classes = {
        {"GPT2Tokenizer",
         false,
         nullptr,
         {{"bos_token", kEndOfText}, {"eos_token", kEndOfText}, {"unk_token", kEndOfText}}},
        {"CodeGenTokenizer",
         false,
         nullptr,
         {{"bos_token", kEndOfText}, {"eos_token", kEndOfText}, {"unk_token", kEndOfText}}},
        {"GPTNeoXTokenizer",
         true,
         nullptr,
         {{"bos_token", kEndOfText}, {"eos_token", kEndOfText}, {"unk_token", kEndOfText}}},
        {"Qwen2Tokenizer",
         true,
         kQwen2Pattern,
         {{"eos_token", kEndOfText}, {"unk_token", kEndOfText}, {"pad_token", kEndOfText}}},
        {"Qwen3_5Tokenizer",
         true,
         kQwen35Pattern,
         {{"eos_token", kEndOfText}, {"unk_token", kEndOfText}, {"pad_token", kEndOfText}}},
    };
    return classes;
}

const char* class_of_model(const std::string& type) {
    if (type.starts_with("qwen3_5")) return "Qwen3_5Tokenizer";
    if (type.starts_with("qwen2") || type.starts_with("qwen3")) return "Qwen2Tokenizer";
    for (const char* like_neox : {"gpt_neox", "mpt", "olmo", "olmoe"})
        if (type == like_neox) return "GPTNeoXTokenizer";
    return "GPT2Tokenizer";
}

const TokenizerClass& find_class(const TokenizerConfig& config, const std::string& vocab_path) {
    const std::string name =
        config.tokenizer_class.empty() ? class_of_model(config.model_type) : config.tokenizer_class;
    std::string known;
    for (const TokenizerClass& each : tokenizer_classes()) {
        if (name == each.name) return each;
        known.append(known.empty() ? "" : ", ").append(each.name);
    }
    throw UnsupportedError("tokenizer_class '" + name + "' with vocab.json and merges.txt",
                           vocab_path,
                           "known are " + known + "; of others, lowkey needs the tokenizer.json");
}

}  // namespace

std::shared_ptr<const Tokenizer> load_vocab_and_merges(const std::string& vocab_path,
                                                       const std::string& merges_path,
                                                       TokenizerConfig config) {
    const TokenizerClass& kind = find_class(config, vocab_path);
    const auto document = read_json_file(vocab_path, kMaxVocabularyBytes);
    const JsonReader root(document, vocab_path);
    const MappedFile merges(merges_path);
    const std::string_view merges_text(reinterpret_cast<const char*>(merges.bytes().data()),
                                       merges.bytes().size());
    Pipeline pipeline;
    pipeline.model = std::make_unique<Bpe>(Vocabulary::read(root), merges_text, merges_path);
    // Of a text that the vocabulary lacks there is no embedding either.
    for (const TokenDefault& token : kind.defaults) {
        if (pipeline.model->vocabulary().id(token.text) != kNoToken)
            config.set_default(token.role, token.text);
    }
    if (kind.composes) pipeline.normalizer = make_nfc_normalizer();
    const bool add_prefix_space = config.add_prefix_space.value_or(false);
    pipeline.pre_tokenizer =
        kind.pattern == nullptr
            ? make_byte_level_pre_tokenizer(add_prefix_space)
            : make_byte_level_pre_tokenizer(add_prefix_space, kind.pattern, kind.name);
    pipeline.decoder = Decoder::byte_level();
    pipeline.added_tokens =
        AddedTokens(merge_added_tokens({}, config, pipeline.model->vocabulary()),
                    pipeline.normalizer.get(), vocab_path);
    const auto id_of = [&](const std::optional<std::string>& token) {
        return token ? pipeline.added_tokens.id(*token) : kNoToken;
    };
    const int32_t bos = id_of(config.bos_token);
    const int32_t eos = id_of(config.eos_token);
    if (config.add_bos_token.value_or(false) && bos != kNoToken)
        pipeline.post_processor.before = {bos};
    if (config.add_eos_token.value_or(false) && eos != kNoToken)
        pipeline.post_processor.behind = {eos};
    return std::make_shared<PipelineTokenizer>(std::move(pipeline), config);
}

}  // namespace lowkey
