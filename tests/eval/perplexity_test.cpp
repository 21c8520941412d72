#include "eval/perplexity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "eval/window_scores.h"
#include "tensor/ops.h"
#include "tests/eval/lossy_plan.h"
#include "tests/model/golden.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

using ::testing::HasSubstr;

constexpr const char* kText =
    "The lighthouse keeper had not spoken to anyone for eleven days when the boat came. It was a "
    "small boat with one brown sail, and it came out of the fog so slowly that he thought at first "
    "of driftwood, then of a whale, and only at the end of a visitor. He put down his lamp, walked "
    "to the landing, and waited there with his hands in his pockets, because he did not know what "
    "else a man should do with them. \"You have letters?\" he called. The woman at the tiller "
    "shook "
    "her head. \"No letters,\" she said. \"I have bread, two books, and a message that I was told "
    "not to write down.\" ";

/// Bounds on what another order of f32 additions does to a token's nats.
constexpr double kNllTolerance = 1e-4;

/// Nats of targets (first_target, ...) of one sequence, straight from logits.
std::vector<double> direct_nlls(Engine& engine, std::span<const int32_t> ids, size_t first_target) {
    const auto vocab = static_cast<size_t>(engine.model().config().vocab_size);
    const std::vector<float> logits = all_logits(engine, ids, ids.size());
    std::vector<double> out;
    for (size_t t = first_target; t < ids.size(); ++t) {
        const auto row = std::span(logits).subspan((t - 1) * vocab, vocab);
        out.push_back(log_sum_exp(row) - static_cast<double>(row[static_cast<size_t>(ids[t])]));
    }
    return out;
}

double mean(const std::vector<double>& x) {
    double sum = 0;
    for (const double v : x) sum += v;
    return sum / static_cast<double>(x.size());
}

class SmallModel : public ::testing::Test {
protected:
    SmallModel()
        : model_(Model::load(LOWKEY_SMALL_MODEL, {.dtype = DType::kF32, .max_context = 256})),
          ids_(Tokenizer::load(LOWKEY_SMALL_MODEL)->encode(kText, false)) {}
    [[nodiscard]] std::vector<std::span<const int32_t>> windows(int64_t length) const {
        return cut_windows(ids_, {.length = length});
    }

    std::shared_ptr<const Model> model_;
    std::vector<int32_t> ids_;
};

TEST(Windows, AllAreDisjointAndTheTailIsDropped) {
    const std::vector<int32_t> ids(107);
    const auto windows = cut_windows(ids, {.length = 25});
    ASSERT_EQ(windows.size(), 4u);
    for (size_t i = 0; i < windows.size(); ++i) {
        EXPECT_EQ(windows[i].data() - ids.data(), static_cast<long>(25 * i));
        EXPECT_EQ(windows[i].size(), 25u);
    }
    EXPECT_EQ(cut_windows(ids, {.length = 107}).size(), 1u);
}

TEST(Windows, SomeStartAtEvenDistances) {
    const std::vector<int32_t> ids(107);
    const auto windows = cut_windows(ids, {.length = 25, .sequences = 3});
    ASSERT_EQ(windows.size(), 3u);
    for (size_t i = 0; i < windows.size(); ++i) {
        EXPECT_EQ(windows[i].data() - ids.data(), static_cast<long>(i * ((107 - 25) / 3)));
    }
}

TEST(Windows, NoTokenCountsTwice) {
    const std::vector<int32_t> ids(107);
    for (int64_t length = 2; length <= 107; ++length) {
        for (const int64_t sequences : {1, 2, 3, 4, 5, 53, 1000}) {
            const auto windows = cut_windows(ids, {.length = length, .sequences = sequences});
            EXPECT_EQ(std::ssize(windows), std::min(sequences, 107 / length));
            for (size_t i = 0; i < windows.size(); ++i) {
                EXPECT_EQ(std::ssize(windows[i]), length);
                if (i > 0) {
                    EXPECT_GE(windows[i].data() - windows[i - 1].data(), length);
                }
            }
            EXPECT_LE(&windows.back().back(), &ids.back());
        }
    }
}

TEST(Windows, ATextThatIsTooShortSaysHowLongItIs) {
    const std::vector<int32_t> ids(107);
    for (const int64_t length : {int64_t{108}, int64_t{1}, int64_t{0}}) {
        EXPECT_THROW(static_cast<void>(cut_windows(ids, {.length = length})), UsageError);
    }
    try {
        static_cast<void>(cut_windows(ids, {.length = 2048}));
    } catch (const UsageError& e) {
        EXPECT_THAT(e.what(), HasSubstr("the text has 107 tokens, one window takes 2048"));
    }
}

TEST_F(SmallModel, EqualsLogitsByHand) {
    Engine engine = dense_engine(model_);
    std::vector<double> nlls;
    for (const auto& window : windows(48)) {
        for (const double nll : direct_nlls(engine, window, 1)) nlls.push_back(nll);
    }
    const Perplexity result = evaluate_perplexity(engine, windows(48));
    EXPECT_GE(result.windows, 3);
    EXPECT_EQ(result.windows, static_cast<int64_t>(ids_.size()) / 48);
    EXPECT_EQ(result.tokens, 47 * result.windows);
    EXPECT_NEAR(result.nll, mean(nlls), kNllTolerance);
    EXPECT_DOUBLE_EQ(result.perplexity(), std::exp(result.nll));
    EXPECT_EQ(result.cache.tokens, 48);
    EXPECT_FALSE(result.reference.has_value());
}

TEST_F(SmallModel, PrefillScoresOnlyWhatDecodingPredicts) {
    Engine engine = dense_engine(model_);
    for (const int64_t prefill : {0, 1, 20, 46}) {
        std::vector<double> nlls;
        for (const auto& window : windows(48)) {
            const auto first = static_cast<size_t>(prefill) + 1;
            for (const double nll : direct_nlls(engine, window, first)) nlls.push_back(nll);
        }
        const Perplexity result = evaluate_perplexity(engine, windows(48), {.prefill = prefill});
        EXPECT_EQ(result.tokens, (47 - prefill) * result.windows);
        EXPECT_NEAR(result.nll, mean(nlls), kNllTolerance) << prefill;
    }
}

TEST_F(SmallModel, BosStandsBeforeTheSameTargets) {
    Engine engine = dense_engine(model_);
    const auto window = windows(48).front();
    std::vector<int32_t> with_bos = {0};
    with_bos.insert(with_bos.end(), window.begin(), window.end());
    const double expected = mean(direct_nlls(engine, with_bos, 2));
    const auto one = std::span(&window, 1);
    const Perplexity whole = evaluate_perplexity(engine, one, {.bos = 0});
    EXPECT_NEAR(whole.nll, expected, kNllTolerance);
    EXPECT_EQ(whole.tokens, 47);
    EXPECT_EQ(whole.cache.tokens, 49);
    const Perplexity decoded = evaluate_perplexity(engine, one, {.prefill = 0, .bos = 0});
    EXPECT_NEAR(decoded.nll, expected, kNllTolerance);
    EXPECT_EQ(decoded.tokens, 47);
}

TEST_F(SmallModel, AnIdenticalPlanDivergesNowhere) {
    Engine engine = dense_engine(model_);
    Engine reference = dense_engine(model_);
    for (const auto prefill : {std::optional<int64_t>{}, std::optional<int64_t>{30}}) {
        const Perplexity result =
            evaluate_perplexity(engine, windows(48), {.prefill = prefill}, &reference);
        ASSERT_TRUE(result.reference.has_value());
        EXPECT_EQ(result.reference->mean_kl, 0);
        EXPECT_EQ(result.reference->top1_agreement, 1);
        EXPECT_EQ(result.reference->nll, result.nll);
    }
}

TEST_F(SmallModel, DivergenceOfALossyPlanEqualsLogitsByHand) {
    Engine engine(model_, lossy_plan(model_->config(), 48));
    Engine reference = dense_engine(model_);
    const auto window = windows(100).front();
    const auto vocab = static_cast<size_t>(model_->config().vocab_size);
    const std::vector<float> p = all_logits(reference, window, window.size());
    const std::vector<float> q = all_logits(engine, window, window.size());
    double kl = 0;
    double same = 0;
    for (size_t t = 0; t + 1 < window.size(); ++t) {
        const auto row_p = std::span(p).subspan(t * vocab, vocab);
        const auto row_q = std::span(q).subspan(t * vocab, vocab);
        const double lse_p = log_sum_exp(row_p);
        const double lse_q = log_sum_exp(row_q);
        for (size_t i = 0; i < vocab; ++i) {
            const double log_p = static_cast<double>(row_p[i]) - lse_p;
            kl += std::exp(log_p) * (log_p - (static_cast<double>(row_q[i]) - lse_q));
        }
        same += std::max_element(row_p.begin(), row_p.end()) - row_p.begin() ==
                        std::max_element(row_q.begin(), row_q.end()) - row_q.begin()
                    ? 1
                    : 0;
    }
    const auto targets = static_cast<double>(window.size() - 1);
    const Perplexity result = evaluate_perplexity(engine, std::span(&window, 1), {}, &reference);
    EXPECT_GT(result.reference->mean_kl, 1e-3) << "the plan loses something";
    EXPECT_NEAR(result.reference->mean_kl, kl / targets, kNllTolerance);
    EXPECT_GT(result.reference->kl_p999, result.reference->mean_kl) << "the largest of 99";
    EXPECT_NEAR(result.reference->top1_agreement, same / targets, 1.5 / targets);
    EXPECT_NEAR(result.reference->nll, mean(direct_nlls(reference, window, 1)), kNllTolerance);
    EXPECT_NEAR(result.nll, mean(direct_nlls(engine, window, 1)), kNllTolerance);
}

TEST_F(SmallModel, EveryWindowStartsWithAnEmptyCache) {
    Engine one_page_each = dense_engine(model_, {.kv_budget_bytes = 6 * 4 * kPageBytes});
    const Perplexity result = evaluate_perplexity(one_page_each, windows(48));
    EXPECT_GE(result.windows, 3);
    EXPECT_EQ(result.cache.peak_bytes, 6 * 4 * kPageBytes);
    EXPECT_EQ(one_page_each.usage(*one_page_each.new_sequence()).bytes_allocated, 0);
}

TEST_F(SmallModel, ReportsProgressToTheEnd) {
    Engine engine = dense_engine(model_);
    int64_t last = 0;
    int64_t all = 0;
    PerplexityOptions options;
    options.on_progress = [&](int64_t done, int64_t total, std::optional<double>) {
        EXPECT_GE(done, last);
        last = done;
        all = total;
    };
    const Perplexity result = evaluate_perplexity(engine, windows(48), options);
    EXPECT_EQ(all, 48 * result.windows);
    EXPECT_EQ(last, all);
}

TEST_F(SmallModel, AStoppedRunGoesOnAfterItsWindows) {
    const auto folder = std::filesystem::temp_directory_path() / "lowkey_perplexity_test";
    std::filesystem::create_directory(folder);
    const std::string path = folder / std::to_string(getpid());
    const nlohmann::json settings = {{"evaluation", "test"}};
    Engine engine(model_, lossy_plan(model_->config(), 48));
    Engine reference = dense_engine(model_);
    const Perplexity whole = evaluate_perplexity(engine, windows(32), {}, &reference);
    ASSERT_GE(whole.windows, 4);

    int64_t left = 2;
    const auto run = [&](const PerplexityOptions& options) {
        Journal journal(path, settings);
        return evaluate_perplexity(
            engine, windows(32), options, &reference,
            {.journal = &journal, .should_stop = [&] { return left-- == 0; }});
    };
    EXPECT_THROW(run({}), Error);
    std::vector<int64_t> done;
    PerplexityOptions options;
    options.on_progress = [&](int64_t tokens, int64_t, std::optional<double> nll) {
        done.push_back(tokens);
        EXPECT_TRUE(nll.has_value()) << "known from the first run";
    };
    const Perplexity resumed = run(options);
    EXPECT_EQ(done.front(), 2 * 32);
    EXPECT_EQ(done.back(), 32 * whole.windows);
    EXPECT_EQ(resumed.nll, whole.nll) << "bit for bit";
    EXPECT_EQ(resumed.tokens, whole.tokens);
    EXPECT_EQ(resumed.windows, whole.windows);
    EXPECT_EQ(resumed.reference->mean_kl, whole.reference->mean_kl);
    EXPECT_EQ(resumed.reference->nll, whole.reference->nll);
    EXPECT_EQ(resumed.reference->top1_agreement, whole.reference->top1_agreement);
    EXPECT_EQ(resumed.cache.tokens, whole.cache.tokens);
    EXPECT_EQ(resumed.cache.peak_bytes, whole.cache.peak_bytes);
    std::filesystem::remove(path);
}

TEST_F(SmallModel, WhatIsScoredWentThroughTheCache) {
    CachePlan plan = CachePlan::dense(6, 4);
    plan.prefill_attention = PrefillAttention::kExact;
    Engine exact_but_whole(model_, plan);
    EXPECT_EQ(evaluate_perplexity(exact_but_whole, windows(48)).tokens, 47 * 3)
        << "an exact prompt is what a cache of all tokens gives";
    for (auto& layer : plan.layers) {
        for (HeadPlan& head : layer) {
            head.policy = {.name = "window",
                           .settings = {{"window", int64_t{8}}, {"sinks", int64_t{0}}}};
        }
    }
    Engine windowed(model_, plan);
    Engine full = dense_engine(model_);
    try {
        static_cast<void>(evaluate_perplexity(windowed, windows(48)));
        FAIL() << "the uncompressed model's perplexity beside the bytes of a window";
    } catch (const UsageError& e) {
        EXPECT_THAT(e.what(), HasSubstr("--prefill 36"));
    }
    const Perplexity decoded = evaluate_perplexity(windowed, windows(48), {.prefill = 36}, &full);
    EXPECT_EQ(decoded.prefill, 36);
    EXPECT_GT(decoded.reference->mean_kl, 0.01);
    EXPECT_NEAR(decoded.reference->change, decoded.nll - decoded.reference->nll, 1e-9);
    EXPECT_GT(decoded.reference->change_error, 0);
}

TEST(WindowScores, TheTailIsTheValueThat999OfAThousandDoNotExceed) {
    EXPECT_EQ(tail_of(1), 1);
    EXPECT_EQ(tail_of(999), 1);
    EXPECT_EQ(tail_of(1000), 2);
    EXPECT_EQ(tail_of(2000), 3);
    EXPECT_EQ(tail_of(2001), 3);
    const std::vector<ItemResult> windows = {{.scores = {{"kl_top_0", 5}, {"kl_top_1", 1}}},
                                             {.scores = {{"kl_top_0", 4}, {"kl_top_1", 3}}}};
    EXPECT_EQ(tail_value(windows, 2), 4);
}

// The result of a cache is its own, whoever else is evaluated beside it.
TEST_F(SmallModel, CompanyChangesNoBit) {
    Engine lossy(model_, lossy_plan(model_->config(), 48));
    Engine full = dense_engine(model_);
    Engine third(model_, lossy_plan(model_->config(), 16));
    Engine* const together[] = {&full, &lossy, &third};
    for (const auto prefill : {std::optional<int64_t>{}, std::optional<int64_t>{30}}) {
        const PerplexityOptions options{.prefill = prefill};
        const auto all = evaluate_perplexities(together, windows(48), options);
        for (size_t i = 0; i < all.size(); ++i) {
            EXPECT_EQ(all[i].nll, evaluate_perplexity(*together[i], windows(48), options).nll) << i;
        }
    }
}

TEST_F(SmallModel, RefusesWindowsBeforeWork) {
    Engine engine = dense_engine(model_);
    for (const int64_t prefill : {-1, 47, 48, 1000}) {
        EXPECT_THROW(evaluate_perplexity(engine, windows(48), {.prefill = prefill}), UsageError)
            << prefill;
    }
    EXPECT_THROW(evaluate_perplexity(engine, {}), UsageError);
    const std::vector<int32_t> ids(257, 5);
    const std::span<const int32_t> long_window(ids);
    EXPECT_THROW(evaluate_perplexity(engine, std::span(&long_window, 1)), UsageError);
    Engine tiny = dense_engine(model_, {.kv_budget_bytes = kPageBytes});
    EXPECT_THROW(evaluate_perplexity(tiny, windows(48)), BudgetError);
    const std::vector<int32_t> bad(48, 4096);
    const std::span<const int32_t> bad_window(bad);
    EXPECT_THROW(evaluate_perplexity(engine, std::span(&bad_window, 1)), UsageError);
}

}  // namespace
}  // namespace lowkey
