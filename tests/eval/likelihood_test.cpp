#include "eval/likelihood.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tensor/ops.h"
#include "tests/eval/lossy_plan.h"
#include "tests/model/golden.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Bounds on what another order of f32 additions does to some tokens' nats.
constexpr double kTolerance = 1e-3;

class LikelihoodTest : public ::testing::Test {
protected:
    [[nodiscard]] std::vector<int32_t> ids(const std::string& text) const {
        return tokenizer_->encode(text, false);
    }
    [[nodiscard]] Continuation pair(const std::string& context, const std::string& answer) const {
        return encode_continuation(*tokenizer_, context, answer, 0);
    }
    /// Contexts of which some are the same, and continuations of several lengths.
    [[nodiscard]] std::vector<Continuation> some() const {
        const std::string story =
            "The old man opened the letter and read it, and then he put it on the table and looked "
            "out of the window for a long time. When the boy came in he said:";
        return {pair(story, " I have to go to the sea tomorrow."), pair(story, " nothing"),
                pair(story,
                     " The letter is not for you, it is for your brother, who left the "
                     "house many years ago and never wrote."),
                pair("He closed the door", " and went away."),
                pair("He closed the window", " and went away.")};
    }
    /// The same, each sequence alone: its context in one prefill, its other tokens decoded.
    static double alone(Engine& engine, const Continuation& continuation, size_t prefill) {
        std::vector<int32_t> whole = continuation.context;
        whole.insert(whole.end(), continuation.tokens.begin(), continuation.tokens.end());
        const auto vocab = static_cast<size_t>(engine.model().config().vocab_size);
        const std::vector<float> logits = all_logits(engine, whole, prefill);
        double sum = 0;
        for (size_t t = continuation.context.size(); t < whole.size(); ++t) {
            const auto row = std::span(logits).subspan((t - 1) * vocab, vocab);
            sum += static_cast<double>(row[static_cast<size_t>(whole[t])]) - log_sum_exp(row);
        }
        return sum;
    }
    [[nodiscard]] CachePlan dense() const {
        return CachePlan::dense(model_->config().num_layers, model_->config().num_kv_heads);
    }

    std::shared_ptr<const Model> model_ =
        Model::load(LOWKEY_SMALL_MODEL, {.dtype = DType::kF32, .max_context = 256});
    std::shared_ptr<const Tokenizer> tokenizer_ = Tokenizer::load(LOWKEY_SMALL_MODEL);
};

TEST_F(LikelihoodTest, TokensAreCutAsTheHarnessCutsThem) {
    const Continuation plain = pair("Question: why?\nAnswer:", " because");
    EXPECT_EQ(plain.context, ids("Question: why?\nAnswer:"));
    std::vector<int32_t> whole = plain.context;
    whole.insert(whole.end(), plain.tokens.begin(), plain.tokens.end());
    EXPECT_EQ(whole, ids("Question: why?\nAnswer: because"));

    const Continuation spaces = pair("He said \n ", "no");
    EXPECT_EQ(spaces.context, ids("He said"));
    EXPECT_EQ(tokenizer_->decode(spaces.tokens, false), " \n no");

    const Continuation start = encode_continuation(*tokenizer_, "", "Once", 7);
    EXPECT_THAT(start.context, ElementsAre(7));
    EXPECT_EQ(start.tokens, ids("Once"));
    EXPECT_THAT(encode_continuation(*tokenizer_, "", "Once", 7, 5).context, ElementsAre(5));
    EXPECT_THAT(encode_continuation(*tokenizer_, "  ", "Once", 7).context, ElementsAre(7));
    EXPECT_EQ(encode_continuation(*tokenizer_, "He", " is", 7, 5).context.front(), 5);
    EXPECT_EQ(encode_continuation(*tokenizer_, "He", " is", 7, 5).tokens, ids(" is"));
    EXPECT_THROW((void)pair("He", ""), UsageError);
    EXPECT_THROW((void)pair("", ""), UsageError);
}

TEST_F(LikelihoodTest, ForksEqualWholeSequencesAlone) {
    for (const bool lossy : {false, true}) {
        Engine engine(model_, lossy ? lossy_plan(model_->config(), 48) : dense());
        const auto continuations = some();
        const Likelihoods scores = score_continuations(engine, continuations);
        ASSERT_EQ(scores.continuations.size(), continuations.size());
        for (size_t i = 0; i < continuations.size(); ++i) {
            const Continuation& c = continuations[i];
            EXPECT_NEAR(scores.continuations[i].log_likelihood,
                        alone(engine, c, c.context.size() + c.tokens.size()), kTolerance)
                << i << (lossy ? " lossy" : " dense");
        }
        EXPECT_EQ(scores.cache.tokens, std::ssize(continuations[0].context));
        EXPECT_EQ(engine.usage(*engine.new_sequence()).bytes_allocated, 0);
    }
}

TEST_F(LikelihoodTest, ContinuationsAttendToWhatTheCacheKept) {
    TokenPolicySpec window{.name = "window",
                           .settings = {{"window", int64_t{20}}, {"sinks", int64_t{4}}}};
    TokenPolicySpec heavy{.name = "heavy_hitters",
                          .settings = {{"recent", int64_t{8}}, {"heavy", int64_t{8}}}};
    TokenPolicySpec selection{.name = "prompt_selection",
                              .settings = {{"capacity", int64_t{20}}, {"observe", int64_t{8}}}};
    Engine uncompressed(model_, dense());
    for (const TokenPolicySpec& policy : {window, heavy, selection}) {
        for (const auto mode : {PrefillAttention::kExact, PrefillAttention::kCompressed}) {
            CachePlan plan = dense();
            plan.prefill_attention = mode;
            for (auto& layer : plan.layers) {
                for (HeadPlan& head : layer) head.policy = policy;
            }
            Engine engine(model_, plan, {.num_sequences = 4});
            const auto continuations = some();
            const Likelihoods scores = score_continuations(engine, continuations);
            for (size_t i = 0; i < continuations.size(); ++i) {
                const Continuation& c = continuations[i];
                // An exact prompt's last token would not meet the cache: it is decoded.
                const size_t prefill =
                    c.context.size() - (mode == PrefillAttention::kExact ? 1 : 0);
                EXPECT_NEAR(scores.continuations[i].log_likelihood, alone(engine, c, prefill),
                            kTolerance)
                    << policy.name << " " << i;
            }
            const double full =
                alone(uncompressed, continuations[2], continuations[2].context.size());
            EXPECT_GT(std::abs(scores.continuations[2].log_likelihood - full), 0.05)
                << policy.name << " forgets something";
        }
    }
}

// A score beside a compressed cache's bytes is that cache's, also where one token is all.
TEST_F(LikelihoodTest, NothingIsScoredByAnExactPromptAlone) {
    CachePlan plan = dense();
    plan.prefill_attention = PrefillAttention::kExact;
    for (auto& layer : plan.layers) {
        for (HeadPlan& head : layer) {
            head.policy = {.name = "window",
                           .settings = {{"window", int64_t{16}}, {"sinks", int64_t{0}}}};
        }
    }
    Engine windowed(model_, plan);
    Engine uncompressed(model_, dense());
    Continuation one = some()[0];
    one.tokens.resize(1);
    const auto score = [&](Engine& engine) {
        return score_continuations(engine, {&one, 1}).continuations[0].log_likelihood;
    };
    EXPECT_GT(std::abs(score(windowed) - score(uncompressed)), 0.01);
    one.context.resize(1);
    EXPECT_NEAR(score(windowed), score(uncompressed), kTolerance) << "a context of one token";
}

TEST_F(LikelihoodTest, GreedyIsWhatDecodingWouldWrite) {
    Engine engine(model_, dense());
    Continuation continuation{.context = ids("The old man opened the letter and read"),
                              .tokens = {}};
    const auto sequence = engine.new_sequence();
    Tensor logits = engine.prefill_logits(*sequence, continuation.context);
    for (int i = 0; i < 6; ++i) {
        const auto row = logits.f32();
        continuation.tokens.push_back(
            static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin()));
        logits = engine.decode(*sequence, continuation.tokens.back());
    }
    std::vector<Continuation> both = {continuation, continuation};
    both[1].tokens[3] += both[1].tokens[3] > 0 ? -1 : 1;
    const Likelihoods scores = score_continuations(engine, both);
    EXPECT_TRUE(scores.continuations[0].greedy);
    EXPECT_FALSE(scores.continuations[1].greedy);
    EXPECT_GT(scores.continuations[0].log_likelihood, scores.continuations[1].log_likelihood);
}

TEST_F(LikelihoodTest, APoolWithoutRoomForAllForksTakesThemInTurn) {
    Engine roomy(model_, dense());
    const auto continuations = some();
    const Likelihoods expected = score_continuations(roomy, continuations);
    // A page for each head of the context, and of one fork.
    const int64_t heads = model_->config().num_layers * model_->config().num_kv_heads;
    Engine tight(model_, dense(), {.kv_budget_bytes = 2 * heads * kPageBytes});
    const Likelihoods scores = score_continuations(tight, continuations);
    for (size_t i = 0; i < continuations.size(); ++i) {
        EXPECT_NEAR(scores.continuations[i].log_likelihood,
                    expected.continuations[i].log_likelihood, kTolerance);
    }
    EXPECT_LT(scores.cache.peak_bytes, expected.cache.peak_bytes);
    Engine tiny(model_, dense(), {.kv_budget_bytes = kPageBytes});
    EXPECT_THROW((void)score_continuations(tiny, continuations), BudgetError);
}

TEST_F(LikelihoodTest, TokensOutsideTheContextAreRefused) {
    Engine engine(model_, dense());
    const Continuation too_long{.context = std::vector<int32_t>(256, 5), .tokens = {5, 5}};
    EXPECT_THROW((void)score_continuations(engine, std::span(&too_long, 1)), UsageError);
    const Continuation fits{.context = std::vector<int32_t>(256, 5), .tokens = {5}};
    EXPECT_NO_THROW((void)score_continuations(engine, std::span(&fits, 1)));
}

}  // namespace
}  // namespace lowkey
