#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/engine.h"

namespace lowkey {

/// A sequence that takes a prompt, and the engine that it lives in.
struct PromptTarget {
    Engine* engine = nullptr;
    SequenceCache* sequence = nullptr;
};

/// Appends one prompt to sequences of several engines, made of one model under different plans.
/// Those that hold nothing yet and whose plans attend to prompts exactly (or keep every token as it
/// is, which comes to the same) share one pass; each of the others has a pass of its own. Every
/// sequence then holds, bit for bit, what Engine::prefill() would have given it. `sink` gets the
/// hidden states of each target, by its index. Throws what Engine::prefill() throws.
void prefill_shared(std::span<const PromptTarget> targets, std::span<const int32_t> tokens,
                    const std::function<void(size_t target, int64_t first, const float* hidden,
                                             int64_t num_tokens)>& sink);

}  // namespace lowkey
