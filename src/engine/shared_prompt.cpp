#include "engine/shared_prompt.h"

#include <utility>

namespace lowkey {
namespace {

/// Whether a prompt's exact attention is what this target's plan asks for.
bool can_share(const PromptTarget& target) {
    const CacheLayout& layout = target.engine->layout();
    return target.sequence->num_tokens() == 0 &&
           (layout.prefill_attention() == PrefillAttention::kExact || layout.keeps_everything());
}

/// Whether both compute the same for a prompt: engines that fold codecs into weights do not.
bool same_pass(const PromptTarget& a, const PromptTarget& b) {
    return &a.engine->model() == &b.engine->model() &&
           a.engine->options().prefill_chunk == b.engine->options().prefill_chunk;
}

/// Indices of targets by the pass that they take part in.
std::vector<std::vector<size_t>> group(std::span<const PromptTarget> targets) {
    std::vector<std::vector<size_t>> groups;
    for (size_t i = 0; i < targets.size(); ++i) {
        std::vector<size_t>* joined = nullptr;
        for (auto& others : groups) {
            const PromptTarget& first = targets[others.front()];
            if (can_share(targets[i]) && can_share(first) && same_pass(targets[i], first))
                joined = &others;
        }
        if (joined == nullptr) joined = &groups.emplace_back();
        joined->push_back(i);
    }
    return groups;
}

}  // namespace

void prefill_shared(std::span<const PromptTarget> targets, std::span<const int32_t> tokens,
                    const std::function<void(size_t target, int64_t first, const float* hidden,
                                             int64_t num_tokens)>& sink) {
    const auto count = static_cast<int64_t>(tokens.size());
    if (count == 0) return;
    const std::vector<std::vector<size_t>> groups = group(targets);
    // Nothing is computed unless all have room; what fails leaves all as they were.
    std::vector<Reservation> rooms;
    std::vector<PromptStart> starts;
    for (const PromptTarget& target : targets) {
        starts.emplace_back(*target.sequence, groups.size() > 1);
        rooms.push_back(target.engine->reserve(*target.sequence, count, 0));
    }
    for (const std::vector<size_t>& members : groups) {
        const PromptTarget& first = targets[members.front()];
        if (members.size() == 1) {
            const size_t i = members.front();
            targets[i].engine->prefill(
                *targets[i].sequence, tokens,
                [&, i](int64_t at, const float* hidden, int64_t n) { sink(i, at, hidden, n); });
            continue;
        }
        std::vector<SequenceCache*> companions;
        for (const size_t i : std::span(members).subspan(1))
            companions.push_back(targets[i].sequence);
        const SequenceInput input{.cache = first.sequence,
                                  .tokens = tokens,
                                  .prompt = true,
                                  .final_length = count,
                                  .companions = companions};
        const EngineOptions& options = first.engine->options();
        static_cast<void>(first.engine->model().forward(
            {&input, 1}, nullptr, options.prefill_chunk, [&](const Tensor& hidden) {
                for (const size_t i : members) sink(i, 0, hidden.f32().data(), count);
            }));
        release_prompt_buffers(count, options);
    }
    for (PromptStart& start : starts) start.keep();
}

}  // namespace lowkey
