#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lowkey/cache.h"
#include "lowkey/export.h"
#include "lowkey/generation.h"
#include "lowkey/model.h"
#include "lowkey/plan.h"

namespace lowkey::api {

/// How a session runs.
struct SessionOptions {
    /// Hard limit of all keys and values of a session and its forks, in bytes; 0: what `num_sequences`
    /// sequences of the model's max_context take at most.
    int64_t kv_budget_bytes = 0;
    /// Prompt tokens that are computed at a time: bounds the memory of a prefill.
    int64_t prefill_chunk = 512;
    /// Sequences that are to live at a time: this one and forks of it.
    int64_t num_sequences = 1;
};

/// What to generate, and when to stop.
struct GenerationOptions {
    int64_t max_new_tokens = 64;
    /// In place of the model's own settings. The penalty counts all tokens of the session.
    SamplingOverrides sampling = {};
    bool stop_at_eos = true;             ///< the model's end tokens end the generation
    std::vector<std::string> stop = {};  ///< so does any of these, found in the text
    /// Gets the text as it comes, in whole UTF-8 characters. What it throws ends the generation;
    /// the session then holds what was generated so far but the last token.
    std::function<void(std::string_view text)> on_text = {};
    /// Asked before every forward pass: true ends the generation with what there is.
    std::function<bool()> should_stop = {};
};

/// One sequence of tokens with its KV cache under a plan. Movable; a copy is asked for by fork().
/// A session and its forks share pages and a budget, and are for one thread at a time, all
/// together; other sessions are independent. The model's weights live as long as the session.
class LOWKEY_API Session {
public:
    /// An empty sequence under a plan. Where the plan's codecs are linear, they are multiplied into
    /// a copy of the weights concerned, once. Throws what Plan::check() throws; BudgetError when
    /// the budget holds no page; UsageError for options out of range.
    Session(const Model& model, const Plan& plan, const SessionOptions& options = {});
    /// The same with an uncompressed cache.
    explicit Session(const Model& model, const SessionOptions& options = {});
    Session(Session&& other) noexcept;
    Session& operator=(Session&& other) noexcept;
    ~Session();

    /// Appends tokens and returns the logits [vocab_size] f32 of the token after the last. Throws,
    /// before anything changes, UsageError for no tokens, ids outside the vocabulary or more tokens
    /// than the context holds, BudgetError when the cache has no room.
    std::vector<float> prefill(std::span<const int32_t> tokens);
    /// Appends one token, which attends through the cache; otherwise as prefill().
    std::vector<float> decode(int32_t token);

    /// Appends a prompt and then what the model says, all of which the session then holds: a later
    /// prompt goes on from there. The text gets the model's special tokens if the session is empty.
    /// Throws, before anything changes, UsageError for an empty prompt, a prompt that leaves no
    /// room in the context and settings out of range, BudgetError when the cache could not hold
    /// prompt and max_new_tokens; UnsupportedError for text, and UsageError for stop strings,
    /// without a tokenizer.
    Generation generate(std::string_view prompt, const GenerationOptions& options = {});
    /// The same for token ids [n]; without a tokenizer the result has ids and no text.
    Generation generate(std::span<const int32_t> prompt, const GenerationOptions& options = {});

    /// A second session with the same tokens. The two share pages until either writes to them, so
    /// that a prompt is computed and kept once for several continuations.
    [[nodiscard]] Session fork() const;
    /// Forgets all tokens; their pages are free again.
    void clear();

    /// Tokens appended so far: prompts and what was generated.
    [[nodiscard]] int64_t num_tokens() const;
    /// What the cache takes. `pool_bytes` and the peak count the forks, too; `tokens` are those in
    /// the cache, which the last generated token joins when the session goes on.
    [[nodiscard]] CacheUsage usage() const;
    /// Throws, as generate() would, UsageError or BudgetError when a prompt of so many tokens and
    /// then so many new ones have no room.
    void check_room(int64_t prompt_tokens, int64_t new_tokens) const;

    struct Impl;

private:
    friend struct Access;
    explicit Session(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace lowkey::api
