#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lowkey/cache.h"
#include "lowkey/export.h"

namespace lowkey {

/// How the next token is chosen, in this order: repeat_penalty, temperature, top_k, top_p, min_p.
/// Each filter sees the distribution that the ones before it left, renormalized.
/// Source: the order and meaning of transformers' logits processors.
struct SamplingOptions {
    double temperature = 0;  ///< 0: greedy, the filters do not matter
    int64_t top_k = 0;       ///< the k likeliest tokens; 0: all
    double top_p = 1;        ///< the fewest tokens whose probabilities sum to p or more; 1: all
    double min_p = 0;        ///< tokens at least min_p times as likely as the likeliest; 0: all
    /// Logits of tokens that were there before are divided by it when positive, multiplied when
    /// negative; 1: no penalty.
    double repeat_penalty = 1;
    uint64_t seed = 0;
};

/// What a caller asks of sampling. A setting that is not given is the model's own: what its
/// `generation_config.json` says, and greedy where that does not ask for samples.
struct SamplingOverrides {
    std::optional<double> temperature = {};
    std::optional<int64_t> top_k = {};
    std::optional<double> top_p = {};
    std::optional<double> min_p = {};
    std::optional<double> repeat_penalty = {};
    uint64_t seed = 0;
};

/// Why a generation ended: max_new_tokens, an end token, a stop string, the model's context, or
/// should_stop().
enum class FinishReason { kLength, kEos, kStop, kContext, kInterrupted };
/// "length", "eos", "stop", "context", "interrupted"
LOWKEY_API const char* finish_reason_name(FinishReason reason);

/// What came of a generation.
struct Generation {
    std::string text;          ///< of `ids` without special tokens, up to a stop string
    std::vector<int32_t> ids;  ///< all that were generated, an end token included
    int64_t prompt_tokens = 0;
    FinishReason finish_reason = FinishReason::kLength;
    double prefill_seconds = 0;  ///< until the logits after the prompt
    double decode_seconds = 0;   ///< from then on
    SamplingOptions sampling;    ///< what the tokens were chosen by
    CacheUsage cache;            ///< at the end
};

}  // namespace lowkey
