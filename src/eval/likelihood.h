#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/engine.h"

namespace lowkey {

class Tokenizer;

/// A continuation that is scored after a context; both have one token at least.
struct Continuation {
    std::vector<int32_t> context;
    std::vector<int32_t> tokens;
};

/// How likely a continuation is.
struct Likelihood {
    double log_likelihood = 0;  ///< of all its tokens together, nats
    bool greedy = true;         ///< it is what greedy decoding would write
};

/// Tokens of two texts as lm-evaluation-harness cuts them: white space at the context's end goes to
/// the continuation, both are encoded together without special tokens, and what follows the
/// context's own number of tokens is the continuation's. `first` is put before the context if
/// given, and `start` is the whole of an empty one. Throws UsageError when the continuation has no
/// token.
/// Source: lm-evaluation-harness, lm_eval/api/model.py, _encode_pair().
Continuation encode_continuation(const Tokenizer& tokenizer, std::string_view context,
                                 std::string_view continuation, int32_t start,
                                 std::optional<int32_t> first = {});

/// Likelihoods of continuations, and what the cache held of the longest context.
struct Likelihoods {
    std::vector<Likelihood> continuations;  ///< in the order asked
    CacheUsage cache;
};

/// Scores continuations. A context that several follow in a row is prefilled once, as a prompt, and
/// forked; where prompts attend exactly, its last token is decoded, so that all that is scored went
/// through the cache. The continuations then run side by side through the cache, as decoding does:
/// all their tokens in one pass, or one by one where the plan has heads that select tokens after
/// every step. Where the page pool has no room for all, they run in turn; it must hold two
/// sequences. Throws UsageError when one does not fit the model's context, BudgetError when its
/// cache does not fit.
Likelihoods score_continuations(Engine& engine, std::span<const Continuation> continuations);

}  // namespace lowkey
