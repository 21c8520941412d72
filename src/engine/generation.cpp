#include "engine/generation.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

#include "base/error.h"
#include "engine/stop_strings.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Text of generated ids on its way out: decoded to whole characters, then searched for stop
/// strings.
class TextOutput {
public:
    TextOutput(const Tokenizer* tokenizer, const GenerationOptions& options)
        : stop_(options.stop), on_text_(options.on_text) {
        if (tokenizer != nullptr) decoder_ = tokenizer->stream(/*skip_special_tokens=*/true);
        if (tokenizer == nullptr && !options.stop.empty()) {
            throw UsageError("stop strings need a tokenizer, which the model does not have", "",
                             "leave them out");
        }
    }
    void push(int32_t id) {
        if (decoder_) emit(stop_.push(decoder_->push(id)));
    }
    void finish() {
        if (decoder_) emit(stop_.push(decoder_->finish()));
        emit(stop_.finish());
    }
    [[nodiscard]] bool stopped() const { return stop_.found(); }
    [[nodiscard]] const std::string& text() const { return text_; }

private:
    void emit(const std::string& piece) {
        if (piece.empty()) return;
        text_ += piece;
        if (on_text_) on_text_(piece);
    }

    std::unique_ptr<TextStream> decoder_;
    StopStrings stop_;
    const std::function<void(std::string_view)>& on_text_;
    std::string text_;
};

/// Runs the prompt; nothing when it was interrupted.
std::optional<Tensor> run_prompt(Engine& engine, SequenceCache& sequence,
                                 std::span<const int32_t> prompt,
                                 const std::function<bool()>& should_stop) {
    if (should_stop && should_stop()) return std::nullopt;
    try {
        return engine.prefill_logits(sequence, prompt, should_stop);
    } catch (const PromptStopped&) {
        return std::nullopt;
    }
}

/// What a request was granted.
struct Admission {
    int64_t limit = 0;  ///< new tokens
    Reservation room;
};

/// Room for a prompt and the new tokens that the context leaves room for, at most those asked for;
/// the last one is not cached.
Admission admit(const Engine& engine, SequenceCache& sequence, int64_t prompt_tokens,
                int64_t max_new_tokens) {
    if (prompt_tokens == 0) throw UsageError("the prompt is empty", "", "give at least one token");
    if (max_new_tokens < 0) {
        throw UsageError("max_new_tokens is " + std::to_string(max_new_tokens), "",
                         "give 0 or more");
    }
    const int64_t with_prompt = sequence.num_tokens() + prompt_tokens;
    const int64_t context = engine.model().max_context();
    const int64_t room = std::max<int64_t>(context - with_prompt + 1, 0);
    const int64_t limit = std::min(max_new_tokens, room);
    return {limit, engine.reserve(sequence, prompt_tokens, std::max<int64_t>(limit - 1, 0))};
}

}  // namespace

const char* finish_reason_name(FinishReason reason) {
    switch (reason) {
        case FinishReason::kLength:
            return "length";
        case FinishReason::kEos:
            return "eos";
        case FinishReason::kStop:
            return "stop";
        case FinishReason::kContext:
            return "context";
        case FinishReason::kInterrupted:
            return "interrupted";
    }
    return "";
}

Generation generate(Engine& engine, SequenceCache& sequence, const Tokenizer* tokenizer,
                    std::span<const int32_t> prompt, const GenerationOptions& options) {
    Generation result;
    result.prompt_tokens = static_cast<int64_t>(prompt.size());
    result.sampling = options.sampling;
    Sampler sampler(options.sampling);
    TextOutput output(tokenizer, options);
    engine.reset_peak();
    const Admission admission =
        admit(engine, sequence, result.prompt_tokens, options.max_new_tokens);
    const int64_t limit = admission.limit;

    std::vector<int32_t> own;
    std::vector<int32_t>& tokens = options.tokens != nullptr ? *options.tokens : own;
    tokens.reserve(tokens.size() + prompt.size() + static_cast<size_t>(limit));
    const int64_t before = sequence.num_tokens();
    auto start = Clock::now();
    std::optional<Tensor> logits = run_prompt(engine, sequence, prompt, options.should_stop);
    const auto computed = prompt.first(static_cast<size_t>(sequence.num_tokens() - before));
    tokens.insert(tokens.end(), computed.begin(), computed.end());
    result.prefill_seconds = seconds_since(start);
    if (!logits) {
        result.finish_reason = FinishReason::kInterrupted;
        result.cache = engine.usage(sequence);
        return result;
    }

    start = Clock::now();
    result.finish_reason =
        limit < options.max_new_tokens ? FinishReason::kContext : FinishReason::kLength;
    while (static_cast<int64_t>(result.ids.size()) < limit) {
        if (!result.ids.empty() && options.should_stop && options.should_stop()) {
            result.finish_reason = FinishReason::kInterrupted;
            break;
        }
        if (!result.ids.empty()) logits = engine.decode(sequence, result.ids.back());
        const int32_t id = sampler.sample(logits->f32(), tokens);
        tokens.push_back(id);
        result.ids.push_back(id);
        if (std::find(options.eos_ids.begin(), options.eos_ids.end(), id) !=
            options.eos_ids.end()) {
            result.finish_reason = FinishReason::kEos;
            break;
        }
        output.push(id);
        if (output.stopped()) {
            result.finish_reason = FinishReason::kStop;
            break;
        }
    }
    output.finish();
    if (output.stopped()) result.finish_reason = FinishReason::kStop;
    result.decode_seconds = seconds_since(start);
    result.text = output.text();
    result.cache = engine.usage(sequence);
    return result;
}

}  // namespace lowkey
