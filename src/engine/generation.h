#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "engine/sampler.h"
#include "lowkey/generation.h"

namespace lowkey {

class Tokenizer;

/// What to generate, and when to stop.
struct GenerationOptions {
    int64_t max_new_tokens = 64;
    SamplingOptions sampling = {};  ///< its penalty counts all tokens of the sequence
    /// The sequence's tokens so far, as far as the penalty is to count them; the prompt and what is
    /// generated join them, also when the generation ends by an exception. May be null.
    std::vector<int32_t>* tokens = nullptr;
    std::vector<int32_t> eos_ids = {};   ///< any of them ends the generation
    std::vector<std::string> stop = {};  ///< so does any of these, found in the text
    /// Gets the text as it comes, in whole UTF-8 characters. May throw; the generation then ends.
    std::function<void(std::string_view text)> on_text = {};
    /// Asked before every forward pass: true ends the generation with what there is.
    std::function<bool()> should_stop = {};
};

/// Continues `sequence`, which may hold earlier tokens, by a prompt and then by what the model
/// says. The sequence ends up holding all but the last generated token (interrupted in the prompt:
/// part of the prompt). Without a tokenizer (null) there is no text. Throws before anything is
/// computed: UsageError for an empty prompt, a prompt that leaves no room in the context, bad
/// settings, and stop strings without a tokenizer; BudgetError when the cache could not hold prompt
/// and max_new_tokens, which are reserved until it returns. What fails within the prompt leaves the
/// sequence as it was; what fails later (a callback, say) leaves it with the prompt and all that
/// was generated but the last token.
Generation generate(Engine& engine, SequenceCache& sequence, const Tokenizer* tokenizer,
                    std::span<const int32_t> prompt, const GenerationOptions& options);

}  // namespace lowkey
