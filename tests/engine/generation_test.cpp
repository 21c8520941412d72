#include "engine/generation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/unicode.h"
#include "engine/generation_config.h"
#include "tests/model/golden.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

using ::testing::HasSubstr;

class SmallModel : public ::testing::Test {
protected:
    static const std::shared_ptr<const Model>& model() {
        static const auto model =
            Model::load(LOWKEY_SMALL_MODEL, {.dtype = DType::kF32, .max_context = 256});
        return model;
    }
    static const Tokenizer& tokenizer() {
        static const auto tokenizer = Tokenizer::load(LOWKEY_SMALL_MODEL);
        return *tokenizer;
    }
    [[nodiscard]] static Engine engine(const EngineOptions& options = {}) {
        return dense_engine(model(), options);
    }
    [[nodiscard]] static std::vector<int32_t> prompt() {
        return tokenizer().encode("Once upon a time", true);
    }
    /// A sequence of its own.
    static Generation run(Engine& engine, const GenerationOptions& options,
                          const std::vector<int32_t>& ids = prompt()) {
        const auto sequence = engine.new_sequence();
        return generate(engine, *sequence, &tokenizer(), ids, options);
    }
};

TEST_F(SmallModel, GreedyTakesTheLikeliestTokenOfEveryStep) {
    Engine engine = SmallModel::engine();
    const Generation result = run(engine, {.max_new_tokens = 24});
    ASSERT_EQ(result.ids.size(), 24u);
    EXPECT_EQ(result.finish_reason, FinishReason::kLength);
    EXPECT_EQ(result.prompt_tokens, static_cast<int64_t>(prompt().size()));
    EXPECT_EQ(result.cache.tokens, result.prompt_tokens + 23) << "all but the last are cached";
    EXPECT_EQ(result.text, tokenizer().decode(result.ids, true));

    std::vector<int32_t> all = prompt();
    all.insert(all.end(), result.ids.begin(), result.ids.end());
    const auto vocab = static_cast<size_t>(engine.model().config().vocab_size);
    const std::vector<float> logits = all_logits(engine, all, all.size());
    for (size_t t = prompt().size() - 1; t + 1 < all.size(); ++t) {
        const auto row = std::span(logits).subspan(t * vocab, vocab);
        EXPECT_EQ(std::max_element(row.begin(), row.end()) - row.begin(), all[t + 1]) << t;
    }
}

TEST_F(SmallModel, TextStreamsInWholeCharacters) {
    Engine engine = SmallModel::engine();
    for (const uint64_t seed : {1, 2, 3}) {
        std::string joined;
        int64_t pieces = 0;
        // So hot that all tokens are as likely: many bytes that are no whole character.
        const Generation result = run(engine, {.max_new_tokens = 100,
                                               .sampling = {.temperature = 1e5, .seed = seed},
                                               .on_text = [&](std::string_view text) {
                                                   std::string storage;
                                                   EXPECT_EQ(valid_utf8(text, storage), text);
                                                   EXPECT_FALSE(text.empty());
                                                   joined += text;
                                                   ++pieces;
                                               }});
        EXPECT_EQ(joined, result.text) << seed;
        EXPECT_EQ(joined, tokenizer().decode(result.ids, true)) << seed;
        EXPECT_GT(pieces, 50);
    }
}

TEST_F(SmallModel, StopStringsEndItAcrossTokenBorders) {
    Engine engine = SmallModel::engine();
    const Generation whole = run(engine, {.max_new_tokens = 40});
    // Any three bytes of the text, wherever tokens end.
    for (size_t at = 0; at + 3 < whole.text.size(); at += 11) {
        const std::string stop = whole.text.substr(at, 3);
        std::string streamed;
        const Generation cut =
            run(engine, {.max_new_tokens = 40,
                         .stop = {"never comes", stop},
                         .on_text = [&](std::string_view text) { streamed += text; }});
        EXPECT_EQ(cut.text, whole.text.substr(0, whole.text.find(stop))) << stop;
        EXPECT_EQ(streamed, cut.text);
        EXPECT_EQ(cut.finish_reason, FinishReason::kStop);
        EXPECT_LE(cut.ids.size(), whole.ids.size());
    }
}

TEST_F(SmallModel, EndTokensEndIt) {
    Engine engine = SmallModel::engine();
    const Generation whole = run(engine, {.max_new_tokens = 40});
    const int32_t end = whole.ids[5];
    const auto first = std::find(whole.ids.begin(), whole.ids.end(), end) - whole.ids.begin();
    const Generation cut = run(engine, {.max_new_tokens = 40, .eos_ids = {4000, end}});
    EXPECT_EQ(cut.finish_reason, FinishReason::kEos);
    ASSERT_EQ(static_cast<int64_t>(cut.ids.size()), first + 1);
    EXPECT_EQ(cut.ids.back(), end);
    EXPECT_EQ(cut.text, tokenizer().decode(std::span(cut.ids).first(cut.ids.size() - 1), true));
}

TEST_F(SmallModel, EndsCleanlyWithTheContext) {
    Engine engine = SmallModel::engine();
    const std::vector<int32_t> ids(250, 300);
    const Generation result = run(engine, {.max_new_tokens = 1000}, ids);
    EXPECT_EQ(result.finish_reason, FinishReason::kContext);
    EXPECT_EQ(result.ids.size(), 7u) << "six join the cache, one more is said";
    EXPECT_EQ(result.cache.tokens, 256);
    EXPECT_EQ(run(engine, {.max_new_tokens = 1}, std::vector<int32_t>(256, 300)).ids.size(), 1u);
}

TEST_F(SmallModel, ContinuesASequence) {
    Engine engine = SmallModel::engine();
    const Generation whole = run(engine, {.max_new_tokens = 20});
    const auto sequence = engine.new_sequence();
    const Generation first =
        generate(engine, *sequence, &tokenizer(), prompt(), {.max_new_tokens = 8});
    const Generation second = generate(engine, *sequence, &tokenizer(),
                                       std::span(first.ids).last(1), {.max_new_tokens = 12});
    std::vector<int32_t> joined = first.ids;
    joined.insert(joined.end(), second.ids.begin(), second.ids.end());
    EXPECT_EQ(joined, whole.ids);
}

TEST_F(SmallModel, NoNewTokensIsAPrefill) {
    Engine engine = SmallModel::engine();
    const Generation result = run(engine, {.max_new_tokens = 0});
    EXPECT_TRUE(result.ids.empty());
    EXPECT_EQ(result.cache.tokens, result.prompt_tokens);
}

TEST_F(SmallModel, RunsWithoutATokenizer) {
    Engine engine = SmallModel::engine();
    const auto sequence = engine.new_sequence();
    const Generation result = generate(engine, *sequence, nullptr, prompt(), {.max_new_tokens = 5});
    EXPECT_EQ(result.ids.size(), 5u);
    EXPECT_EQ(result.text, "");
    EXPECT_THROW(generate(engine, *sequence, nullptr, prompt(), {.stop = {"a"}}), UsageError);
}

TEST_F(SmallModel, RefusalsLeaveTheEngineAsItWas) {
    Engine engine = SmallModel::engine({.kv_budget_bytes = 24 * kPageBytes});
    const auto sequence = engine.new_sequence();
    const auto refused = [&](const std::vector<int32_t>& ids, const GenerationOptions& options) {
        try {
            static_cast<void>(generate(engine, *sequence, &tokenizer(), ids, options));
        } catch (const Error& e) {
            EXPECT_EQ(sequence->num_tokens(), 0);
            EXPECT_EQ(engine.usage(*sequence).bytes_allocated, 0);
            return std::string(e.what());
        }
        return std::string("not refused");
    };
    EXPECT_THAT(refused({}, {}), HasSubstr("the prompt is empty"));
    EXPECT_THAT(refused(std::vector<int32_t>(257, 1), {}),
                HasSubstr("257 tokens do not fit the context of 256"));
    EXPECT_THAT(refused(prompt(), {.max_new_tokens = -1}), HasSubstr("max_new_tokens is -1"));
    EXPECT_THAT(refused(prompt(), {.stop = {""}}), HasSubstr("stop string is empty"));
    EXPECT_THAT(refused({1, 5000}, {.max_new_tokens = 2}),
                HasSubstr("token id 5000 is outside the vocabulary"));
    // The whole request is weighed, not only its prompt.
    EXPECT_THAT(refused(prompt(), {.max_new_tokens = 200}),
                ::testing::AllOf(HasSubstr("bytes) needed"), HasSubstr("free")));
    EXPECT_EQ(
        generate(engine, *sequence, &tokenizer(), prompt(), {.max_new_tokens = 10}).ids.size(),
        10u);
}

TEST_F(SmallModel, CanBeStoppedBetweenTokens) {
    Engine engine = SmallModel::engine();
    const auto sequence = engine.new_sequence();
    int asked = 0;
    const Generation result =
        generate(engine, *sequence, &tokenizer(), prompt(),
                 {.max_new_tokens = 24, .should_stop = [&] { return ++asked > 5; }});
    EXPECT_EQ(result.finish_reason, FinishReason::kInterrupted);
    EXPECT_EQ(finish_reason_name(result.finish_reason), std::string("interrupted"));
    ASSERT_EQ(result.ids.size(), 5u) << "asked before the prompt and before each further token";
    EXPECT_EQ(result.ids, run(engine, {.max_new_tokens = 5}).ids);
    EXPECT_EQ(sequence->num_tokens(), result.prompt_tokens + 4);
}

TEST_F(SmallModel, CanBeStoppedInThePrompt) {
    Engine engine = SmallModel::engine({.prefill_chunk = 2});
    const auto sequence = engine.new_sequence();
    int asked = 0;
    const Generation result =
        generate(engine, *sequence, &tokenizer(), prompt(),
                 {.max_new_tokens = 24, .should_stop = [&] { return ++asked > 1; }});
    EXPECT_EQ(result.finish_reason, FinishReason::kInterrupted);
    EXPECT_EQ(result.ids.size(), 0u);
    EXPECT_EQ(sequence->num_tokens(), 2) << "one chunk";
    EXPECT_EQ(result.cache.tokens, 2);
}

TEST_F(SmallModel, RepeatPenaltyCountsThePrompt) {
    Engine engine = SmallModel::engine();
    const Generation plain = run(engine, {.max_new_tokens = 1});
    std::vector<int32_t> ids = prompt();
    ids.insert(ids.begin() + 1, plain.ids[0]);
    const Generation again = run(engine, {.max_new_tokens = 1}, ids);
    const Generation penalized =
        run(engine, {.max_new_tokens = 1, .sampling = {.repeat_penalty = 100}}, ids);
    EXPECT_EQ(again.ids, plain.ids) << "the test's premise";
    EXPECT_NE(penalized.ids, again.ids);
}

}  // namespace
}  // namespace lowkey
