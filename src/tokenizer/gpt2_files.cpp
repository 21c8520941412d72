#include "tokenizer/gpt2_files.h"

#include "base/mapped_file.h"
#include "io/json_reader.h"
#include "tokenizer/bpe.h"
#include "tokenizer/pipeline_tokenizer.h"

namespace lowkey {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{256} << 20;

// Special tokens that the vocabulary lacks have no embedding either: they are left out.
void add_tokens(const TokenizerConfig& config, const JsonReader& where, Pipeline& pipeline) {
    const Vocabulary& vocabulary = pipeline.model->vocabulary();
    for (const AddedToken& token : config.added_tokens)
        pipeline.added_tokens.add(token, vocabulary, nullptr, where);
    for (AddedToken token : config.special_tokens) {
        token.id = vocabulary.id(token.content);
        if (token.id != kNoToken)
            pipeline.added_tokens.add(std::move(token), vocabulary, nullptr, where);
    }
}

}  // namespace

std::shared_ptr<const Tokenizer> load_gpt2_files(const std::string& vocab_path,
                                                 const std::string& merges_path,
                                                 const TokenizerConfig& config) {
    const auto document = read_json_file(vocab_path, kMaxFileBytes);
    const JsonReader root(document, vocab_path);
    const MappedFile merges(merges_path);
    const std::string_view merges_text(reinterpret_cast<const char*>(merges.bytes().data()),
                                       merges.bytes().size());
    Pipeline pipeline;
    pipeline.model = std::make_unique<Bpe>(Vocabulary::read(root), merges_text, merges_path);
    pipeline.pre_tokenizer = make_byte_level_pre_tokenizer(config.add_prefix_space);
    pipeline.decoder = Decoder::byte_level();
    add_tokens(config, root, pipeline);
    const auto id_of = [&](const std::optional<std::string>& token) {
        if (!token) return kNoToken;
        const int32_t added = pipeline.added_tokens.id(*token);
        return added != kNoToken ? added : pipeline.model->vocabulary().id(*token);
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
