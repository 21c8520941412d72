#include "tokenizer/tokenizer_json.h"

#include "io/json_reader.h"
#include "tokenizer/bpe.h"
#include "tokenizer/component.h"
#include "tokenizer/pipeline_tokenizer.h"
#include "tokenizer/unigram.h"

namespace lowkey {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{256} << 20;

std::unique_ptr<WordModel> make_model(const JsonReader& model) {
    // Files of the first versions have no type; all of them hold BPE or are told apart by merges.
    const std::string type = model.string_or("type", model.has("merges") ? "BPE" : "Unigram");
    if (type == "BPE") return std::make_unique<Bpe>(model);
    if (type == "Unigram") return std::make_unique<Unigram>(model);
    unsupported_component("tokenizer model", type, model);
}

void add_tokens(const JsonReader& list, Pipeline& pipeline) {
    for (const JsonReader& entry : list.items()) {
        AddedToken token = read_added_token(entry);
        token.id = static_cast<int32_t>(entry.at("id").integer(0, kMaxTokenIds - 1));
        pipeline.added_tokens.add(std::move(token), pipeline.model->vocabulary(),
                                  pipeline.normalizer.get(), entry);
    }
}

}  // namespace

std::shared_ptr<const Tokenizer> load_tokenizer_json(const std::string& path,
                                                     const TokenizerConfig& config) {
    const auto document = read_json_file(path, kMaxFileBytes);
    const JsonReader root(document, path);
    Pipeline pipeline;
    pipeline.model = make_model(root.at("model"));
    if (root.has("normalizer")) pipeline.normalizer = make_normalizer(root.at("normalizer"));
    if (root.has("pre_tokenizer"))
        pipeline.pre_tokenizer = make_pre_tokenizer(root.at("pre_tokenizer"));
    if (root.has("post_processor"))
        pipeline.post_processor = read_post_processor(root.at("post_processor"));
    if (root.has("decoder")) pipeline.decoder = Decoder(root.at("decoder"));
    if (root.has("added_tokens")) add_tokens(root.at("added_tokens"), pipeline);
    return std::make_shared<PipelineTokenizer>(std::move(pipeline), config);
}

}  // namespace lowkey
