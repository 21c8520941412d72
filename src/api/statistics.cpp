#include "lowkey/statistics.h"

#include <algorithm>

#include "api/access.h"
#include "base/error.h"
#include "compress/retrieval_scores.h"
#include "engine/generation_config.h"

namespace lowkey::api {
namespace {

constexpr int64_t kMostSequences = int64_t{1} << 20;
constexpr int64_t kMostFirstTokens = 64;

void check(const CalibrationOptions& options) {
    check_range("sequences", options.sequences, 1, kMostSequences);
    check_range("length", options.length, 2, kMaxModelSize);
    check_range("first_tokens", options.first_tokens, 0, kMostFirstTokens);
}

/// A KV head is as much of a retrieval head as the most of its query heads.
std::vector<std::vector<double>> highest_of_group(const std::vector<std::vector<double>>& scores,
                                                  int64_t group_size) {
    std::vector<std::vector<double>> out;
    for (const std::vector<double>& heads : scores) {
        std::vector<double>& kv_heads = out.emplace_back();
        for (auto group = heads.begin(); group != heads.end(); group += group_size)
            kv_heads.push_back(*std::max_element(group, group + group_size));
    }
    return out;
}

}  // namespace

Statistics::Statistics(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

Statistics Statistics::from_text(const Model& model, std::string_view text,
                                 const CalibrationOptions& options) {
    check(options);
    const Tokenizer& tokenizer = Access::impl(model).need_tokenizer();
    return from_tokens(model,
                       cut_sequences(tokenizer.encode(text, false), options.sequences,
                                     options.length, options.seed, leading_token(tokenizer)),
                       options.first_tokens);
}

Statistics Statistics::from_model(const Model& model, const CalibrationOptions& options) {
    check(options);
    const lowkey::Model& own = *Access::model(model);
    const int32_t start = document_start(Access::impl(model).need_tokenizer(), own);
    return from_tokens(
        model, sample_sequences(own, options.sequences, options.length, options.seed, start),
        options.first_tokens);
}

Statistics Statistics::from_tokens(const Model& model,
                                   const std::vector<std::vector<int32_t>>& sequences,
                                   int64_t first_tokens) {
    check_range("first_tokens", first_tokens, 0, kMostFirstTokens);
    for (const std::vector<int32_t>& sequence : sequences) check_ids(model, sequence);
    const auto& own = Access::model(model);
    auto impl = std::make_shared<Impl>();
    impl->stats = calibrate(*own, sequences, {.first_tokens = first_tokens});
    impl->stats.settings = {{"sequences", impl->stats.ids.size()}, {"length", impl->stats.length}};
    impl->model = own;
    return Statistics(std::move(impl));
}

Statistics Statistics::load(const std::string& path, const Model& model) {
    const auto& own = Access::model(model);
    return Statistics(std::make_shared<Impl>(Impl{read_stats(path, *own), own}));
}

void Statistics::save(const std::string& path) const { write_stats(path, impl_->stats); }

int64_t Statistics::num_tokens() const { return impl_->stats.num_tokens(); }

int64_t Statistics::length() const { return impl_->stats.length; }

std::vector<std::string> Statistics::kinds() const {
    std::vector<std::string> kinds;
    for (const auto& [kind, grams] : impl_->stats.rest) kinds.push_back(kind);
    return kinds;
}

std::span<const double> Statistics::gram(const std::string& kind, int64_t layer,
                                         int64_t kv_head) const {
    const auto found = impl_->stats.rest.find(kind);
    if (found == impl_->stats.rest.end())
        throw UsageError("no Gram matrices '" + kind + "'", "",
                         "kinds() names those that are there");
    const GramSet& grams = found->second;
    check_range("layer", layer, 0, grams.dim(0) - 1);
    check_range("kv_head", kv_head, 0, grams.dim(1) - 1);
    const int64_t size = grams.dim(2) * grams.dim(3);
    return grams.as<double>().subspan(static_cast<size_t>((layer * grams.dim(1) + kv_head) * size),
                                      static_cast<size_t>(size));
}

RetrievalScores score_retrieval(const Model& model, const RetrievalOptions& options) {
    check_ids(model, options.ids);
    check_range("repeats", options.repeats, 2, kMaxModelSize);
    check_range("random_tokens", options.random_tokens, 1, kMaxModelSize);
    const lowkey::Model& own = *Access::model(model);
    const ModelConfig& config = own.config();
    std::vector<int32_t> ids = options.ids;
    if (ids.empty()) {
        const int64_t most = std::min(own.max_context() / options.repeats, config.vocab_size);
        ids = random_tokens(std::min(options.random_tokens, most), config.vocab_size, options.seed);
    }
    const lowkey::RetrievalScores scores = lowkey::score_retrieval(own, ids, options.repeats);
    return {highest_of_group(scores.echo, config.group_size()),
            highest_of_group(scores.induction, config.group_size())};
}

}  // namespace lowkey::api
