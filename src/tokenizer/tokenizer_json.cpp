#include "tokenizer/tokenizer_json.h"

#include <unordered_map>
#include <unordered_set>

#include "io/json_reader.h"
#include "tokenizer/bpe.h"
#include "tokenizer/component.h"
#include "tokenizer/merge_tokens.h"
#include "tokenizer/pipeline_tokenizer.h"
#include "tokenizer/unigram.h"
#include "tokenizer/vocabulary.h"

namespace lowkey {
namespace {

std::unique_ptr<WordModel> make_model(const JsonReader& model) {
    // Files of the first versions have no type; all of them hold BPE or are told apart by merges.
    const std::string type = model.string_or("type", model.has("merges") ? "BPE" : "Unigram");
    if (type == "BPE") return std::make_unique<Bpe>(model);
    if (type == "Unigram") return std::make_unique<Unigram>(model);
    unsupported_component("tokenizer model", type, model);
}

// "added_tokens": where the vocabulary has one of that text, its id counts.
std::vector<AddedToken> read_added_tokens(const JsonReader& list, const Vocabulary& vocabulary) {
    std::vector<AddedToken> tokens;
    std::unordered_map<std::string, int32_t> ids;
    std::unordered_set<int32_t> taken;
    for (const JsonReader& entry : list.items()) {
        AddedToken token = read_added_token(entry);
        token.id = static_cast<int32_t>(entry.at("id").integer(0, kMaxTokenIds - 1));
        if (token.content.empty()) continue;
        const int32_t known = vocabulary.id(token.content);
        if (known != kNoToken) token.id = known;
        if (const auto other = ids.find(token.content); other != ids.end()) {
            if (other->second == token.id) continue;
            entry.fail("added token '" + token.content + "' has two ids");
        }
        if (taken.contains(token.id) ||
            (known == kNoToken && vocabulary.token(token.id) != nullptr)) {
            entry.fail("two tokens have the id " + std::to_string(token.id));
        }
        ids.emplace(token.content, token.id);
        taken.insert(token.id);
        tokens.push_back(std::move(token));
    }
    return tokens;
}

}  // namespace

std::shared_ptr<const Tokenizer> load_tokenizer_json(const std::string& path,
                                                     const TokenizerConfig& config) {
    const auto document = read_json_file(path, kMaxVocabularyBytes);
    const JsonReader root(document, path);
    Pipeline pipeline;
    pipeline.model = make_model(root.at("model"));
    if (root.has("normalizer")) pipeline.normalizer = make_normalizer(root.at("normalizer"));
    if (root.has("pre_tokenizer"))
        pipeline.pre_tokenizer = make_pre_tokenizer(root.at("pre_tokenizer"));
    if (root.has("post_processor"))
        pipeline.post_processor = read_post_processor(root.at("post_processor"));
    if (root.has("decoder")) pipeline.decoder = Decoder(root.at("decoder"));
    const Vocabulary& vocabulary = pipeline.model->vocabulary();
    std::vector<AddedToken> own;
    if (root.has("added_tokens")) own = read_added_tokens(root.at("added_tokens"), vocabulary);
    pipeline.added_tokens = AddedTokens(merge_added_tokens(std::move(own), config, vocabulary),
                                        pipeline.normalizer.get(), path);
    return std::make_shared<PipelineTokenizer>(std::move(pipeline), config);
}

}  // namespace lowkey
