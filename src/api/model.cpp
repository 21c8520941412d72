#include "lowkey/model.h"

#include "api/access.h"
#include "base/error.h"
#include "engine/generation_config.h"
#include "io/model_directory.h"

namespace lowkey::api {
namespace {

ModelInfo describe(const lowkey::Model& model, const std::string& directory,
                   const Tokenizer* tokenizer) {
    const ModelConfig& config = model.config();
    const Checkpoint& checkpoint = *model.weights().checkpoint;
    ModelInfo info;
    info.directory = directory;
    info.architecture = config.architecture.empty() ? config.model_type : config.architecture;
    info.fingerprint = model.fingerprint();
    info.num_layers = config.num_layers;
    info.num_heads = config.num_heads;
    info.num_kv_heads = config.num_kv_heads;
    info.head_dim = config.head_dim;
    info.hidden_size = config.hidden_size;
    info.vocab_size = config.vocab_size;
    info.parameters = checkpoint.num_parameters();
    info.max_context = model.max_context();
    info.kv_bytes_per_token = config.kv_bytes_per_token();
    info.sliding_windows = config.sliding_windows;
    info.warnings = model.warnings();
    const GenerationConfig generation = read_generation_config(checkpoint, tokenizer);
    info.eos_ids = generation.eos_ids;
    info.sampling = generation.sampling;
    return info;
}

}  // namespace

const Tokenizer& Model::Impl::need_tokenizer() const {
    if (tokenizer != nullptr) return *tokenizer;
    throw UnsupportedError("the model has no tokenizer", info.directory,
                           "give token ids instead of text");
}

Model::Model(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

Model Model::load(const std::string& model, const ModelOptions& options) {
    check_range("max_context", options.max_context, 0, kMaxModelSize);
    be_quiet_by_default();
    const DType dtype = options.dtype == Precision::kF32 ? DType::kF32 : DType::kBF16;
    auto impl = std::make_shared<Impl>();
    const std::string directory = model_directory(model);
    impl->model = lowkey::Model::load(directory, {dtype, options.max_context});
    if (Tokenizer::exists(directory)) impl->tokenizer = Tokenizer::load(directory);
    impl->info = describe(*impl->model, directory, impl->tokenizer.get());
    return Model(std::move(impl));
}

const ModelInfo& Model::info() const { return impl_->info; }

bool Model::has_tokenizer() const { return impl_->tokenizer != nullptr; }

std::vector<int32_t> Model::tokenize(std::string_view text, SpecialTokens special) const {
    return impl_->need_tokenizer().encode(text, special == SpecialTokens::kWith);
}

std::string Model::detokenize(std::span<const int32_t> ids, SpecialTokens special) const {
    return impl_->need_tokenizer().decode(ids, special == SpecialTokens::kWithout);
}

void check_ids(const api::Model& model, std::span<const int32_t> ids) {
    const int64_t vocab_size = model.info().vocab_size;
    for (const int32_t id : ids) {
        if (id >= 0 && id < vocab_size) continue;
        throw UsageError("token id " + std::to_string(id), "",
                         "the vocabulary has " + std::to_string(vocab_size) + " tokens");
    }
}

}  // namespace lowkey::api
