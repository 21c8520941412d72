#include "lowkey/session.h"

#include <algorithm>
#include <optional>

#include "api/access.h"
#include "base/error.h"
#include "engine/generation_config.h"

namespace lowkey::api {

Engine make_engine(const api::Model& model, const Plan& plan, const EngineOptions& options) {
    plan.check(model);
    return {Access::model(model), Access::file(plan).plan, options};
}

struct Session::Impl {
    api::Model model;
    std::shared_ptr<Engine> engine;  ///< shared by forks; outlives the pages of `sequence`
    std::unique_ptr<SequenceCache> sequence;
    /// The last token of a generation: part of the sequence, but not in the cache yet.
    std::optional<int32_t> pending = {};
    std::vector<int32_t> tokens = {};  ///< all of them, with the pending one

    void check_room(int64_t prompt_tokens, int64_t new_tokens) const {
        engine->check_request(*sequence, prompt_tokens + (pending ? 1 : 0), new_tokens);
    }
    /// What `run` returns, which writes these tokens. What it wrote stays in the list also when it
    /// fails.
    template <class Run>
    std::vector<float> record(std::span<const int32_t> added, Run run) {
        const size_t before = tokens.size();
        tokens.insert(tokens.end(), added.begin(), added.end());
        try {
            return run();
        } catch (...) {
            const auto written = static_cast<size_t>(sequence->num_tokens());
            tokens.resize(std::min(tokens.size(), std::max(before, written)));
            throw;
        }
    }
    /// Before more tokens come; room for it was checked.
    void write_pending() {
        if (!pending) return;
        static_cast<void>(engine->decode(*sequence, *pending));
        pending.reset();
    }
};

namespace {

EngineOptions engine_options(const SessionOptions& options) {
    check_range("prefill_chunk", options.prefill_chunk, 1, kMaxModelSize);
    check_range("num_sequences", options.num_sequences, 1, int64_t{1} << 16);
    check_range("kv_budget_bytes", options.kv_budget_bytes, 0, int64_t{1} << 50);
    if (options.kv_budget_bytes > 0 && options.kv_budget_bytes < kPageBytes) {
        throw BudgetError(kPageBytes, options.kv_budget_bytes, "kv_budget_bytes",
                          "give at least one page");
    }
    return {.kv_budget_bytes = options.kv_budget_bytes,
            .prefill_chunk = options.prefill_chunk,
            .num_sequences = options.num_sequences};
}

std::vector<float> to_vector(const Tensor& logits) {
    return {logits.f32().begin(), logits.f32().end()};
}

}  // namespace

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::Session(Session&& other) noexcept = default;
Session& Session::operator=(Session&& other) noexcept = default;
Session::~Session() = default;

Session::Session(const Model& model, const Plan& plan, const SessionOptions& options) {
    auto engine = std::make_shared<Engine>(make_engine(model, plan, engine_options(options)));
    auto sequence = engine->new_sequence();
    impl_ = std::make_unique<Impl>(Impl{model, std::move(engine), std::move(sequence)});
}

Session::Session(const Model& model, const SessionOptions& options)
    : Session(model, Plan::uncompressed(model), options) {}

std::vector<float> Session::prefill(std::span<const int32_t> tokens) {
    if (tokens.empty()) throw UsageError("the prompt is empty", "", "give at least one token");
    check_ids(impl_->model, tokens);
    check_room(std::ssize(tokens), 0);
    impl_->write_pending();
    return impl_->record(
        tokens, [&] { return to_vector(impl_->engine->prefill_logits(*impl_->sequence, tokens)); });
}

std::vector<float> Session::decode(int32_t token) {
    check_ids(impl_->model, {&token, 1});
    check_room(0, 1);
    impl_->write_pending();
    return impl_->record({&token, 1},
                         [&] { return to_vector(impl_->engine->decode(*impl_->sequence, token)); });
}

Generation Session::generate(std::string_view prompt, const GenerationOptions& options) {
    if (prompt.empty()) throw UsageError("the prompt is empty", "", "give at least one character");
    const SpecialTokens special =
        num_tokens() == 0 ? SpecialTokens::kWith : SpecialTokens::kWithout;
    return generate(impl_->model.tokenize(prompt, special), options);
}

Generation Session::generate(std::span<const int32_t> prompt, const GenerationOptions& options) {
    check_ids(impl_->model, prompt);
    const ModelInfo& info = impl_->model.info();
    const GenerationConfig config{.eos_ids = info.eos_ids, .sampling = info.sampling};
    lowkey::GenerationOptions how = config.options(options.sampling);
    how.max_new_tokens = options.max_new_tokens;
    if (!options.stop_at_eos) how.eos_ids.clear();
    how.tokens = &impl_->tokens;
    how.stop = options.stop;
    how.on_text = options.on_text;
    how.should_stop = options.should_stop;
    // A failure from here on leaves the same tokens, the last of which may then be in the cache.
    impl_->write_pending();
    try {
        Generation result =
            lowkey::generate(*impl_->engine, *impl_->sequence,
                             Access::impl(impl_->model).tokenizer.get(), prompt, how);
        if (!result.ids.empty()) impl_->pending = result.ids.back();
        return result;
    } catch (...) {
        // What ended it may have come between a token's choice and its step.
        const auto held = static_cast<size_t>(impl_->sequence->num_tokens());
        if (impl_->tokens.size() > held) impl_->tokens.resize(held);
        throw;
    }
}

Session Session::fork() const {
    return Session(std::make_unique<Impl>(
        Impl{impl_->model, impl_->engine, impl_->sequence->fork(), impl_->pending, impl_->tokens}));
}

void Session::clear() {
    impl_->sequence = impl_->engine->new_sequence();
    impl_->pending.reset();
    impl_->tokens.clear();
}

int64_t Session::num_tokens() const {
    return impl_->sequence->num_tokens() + (impl_->pending ? 1 : 0);
}

CacheUsage Session::usage() const { return impl_->engine->usage(*impl_->sequence); }

void Session::check_room(int64_t prompt_tokens, int64_t new_tokens) const {
    check_range("prompt_tokens", prompt_tokens, 0, kMaxModelSize);
    check_range("new_tokens", new_tokens, 0, kMaxModelSize);
    impl_->check_room(prompt_tokens, new_tokens);
}

}  // namespace lowkey::api
