#include "eval/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "eval/perplexity.h"
#include "tests/eval/lossy_plan.h"
#include "tests/io/temporary_folder.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

using ::testing::HasSubstr;

class Comparisons : public TemporaryFolder {
protected:
    Comparisons() {
        for (int i = 0; i < 60; ++i) text_ += "The boat came in at dawn and nobody saw it there. ";
        tokens_ = tokenizer_->encode(text_, false);
        const std::span<const int32_t> all(tokens_);
        tasks_.windows = {all.first(48), all.subspan(100, 48)};
        tasks_.prefill = 32;
        tasks_.haystack = {text_};
        tasks_.needle = {.lengths = {200}, .depths = {0, 1}, .trials = 1};
        tasks_.task = &zeroshot_task("piqa");
        tasks_.questions = read_zeroshot_items(
            *tasks_.task, std::string(LOWKEY_TEST_DATA) + "/eval/piqa.jsonl", 2);
        tasks_.speed = {.prompts = {}, .depths = {}, .generate = 2, .repeat = 1};
        tasks_.lengths = {64, 512};
        tasks_.prompts = {{"one", tokenizer_->encode("The boat", true)}};
        tasks_.max_new_tokens = 6;
    }
    [[nodiscard]] Contestant contestant(const std::string& name, CachePlan plan) const {
        PlanFile file;
        file.plan = std::move(plan);
        file.method = "test";
        file.fingerprint = model_->fingerprint();
        file.head_dim = model_->config().head_dim;
        return {name, std::move(file)};
    }
    [[nodiscard]] std::vector<Contestant> two() const {
        const ModelConfig& config = model_->config();
        return {contestant("same", CachePlan::dense(config.num_layers, config.num_kv_heads)),
                contestant("lossy", lossy_plan(config, 16))};
    }
    [[nodiscard]] ComparisonReport run(const ItemOptions& how = {}) const {
        return compare(model_, *tokenizer_, two(), tasks_, {}, how);
    }
    [[nodiscard]] std::string refusal(const std::vector<Contestant>& plans) const {
        try {
            static_cast<void>(compare(model_, *tokenizer_, plans, tasks_));
        } catch (const UsageError& error) {
            return error.what();
        }
        return "nothing was refused";
    }

    std::shared_ptr<const Tokenizer> tokenizer_ = Tokenizer::load(LOWKEY_SMALL_MODEL);
    std::shared_ptr<const Model> model_ = Model::load(LOWKEY_SMALL_MODEL, {DType::kF32, 1024});
    std::string text_;
    std::vector<int32_t> tokens_;
    ComparisonTasks tasks_;
};

TEST_F(Comparisons, ACacheLikeTheUncompressedOneLosesNothing) {
    const ComparisonReport report = run();
    ASSERT_EQ(report.caches.size(), 3u);
    EXPECT_EQ(report.caches[0].name, "full");
    EXPECT_EQ(report.targets, 2 * 15);
    const ComparedCache& full = report.caches[0];
    const ComparedCache& same = report.caches[1];
    const ComparedCache& lossy = report.caches[2];
    EXPECT_EQ(same.text->kl, 0);
    EXPECT_EQ(same.text->change, 0);
    EXPECT_EQ(same.text->top1, 1);
    EXPECT_EQ(same.needle->found, full.needle->found);
    EXPECT_EQ(same.task->right, full.task->right);
    EXPECT_EQ(same.samples, full.samples);
    EXPECT_EQ(same.memory[1].bytes_allocated, full.memory[1].bytes_allocated);
    EXPECT_GT(lossy.text->kl, 0.01);
    EXPECT_GT(lossy.text->change_error, 0);
    EXPECT_LT(lossy.memory[1].bytes_allocated, full.memory[1].bytes_allocated);
    EXPECT_EQ(lossy.layers[0].value_ranks[0], 16);
    EXPECT_EQ(lossy.layers[0].key_ranks[0], report.head_dim);
}

TEST_F(Comparisons, PerplexityIsThatOfTheEvaluation) {
    const ComparisonReport report = run();
    const std::vector<Contestant> plans = two();
    Engine full(model_, plans[0].plan.plan);
    Engine lossy(model_, plans[1].plan.plan);
    const Perplexity expected =
        evaluate_perplexity(lossy, tasks_.windows, {.prefill = tasks_.prefill}, &full);
    const TextScore& text = *report.caches[2].text;
    EXPECT_EQ(expected.tokens, report.targets);
    // Sums of a step of several caches are made in another order.
    EXPECT_NEAR(text.nll, expected.nll, 1e-4);
    EXPECT_NEAR(text.kl, expected.reference->mean_kl, 1e-4);
    EXPECT_NEAR(text.nll - text.change, expected.reference->nll, 1e-4);
    EXPECT_EQ(text.cache.bytes_allocated, expected.cache.bytes_allocated);
    EXPECT_EQ(text.cache.tokens, 48);
}

TEST_F(Comparisons, AStoppedRunGoesOnAndEndsTheSame) {
    const nlohmann::json whole = to_json(run());
    const nlohmann::json settings = {{"evaluation", "compare"}};
    const std::string path = this->path("items.jsonl");
    int64_t runs = 0;
    for (bool finished = false; !finished; ++runs) {
        ASSERT_LT(runs, 20);
        Journal journal(path, settings);
        int64_t asked = 0;
        ItemOptions how{.journal = &journal, .should_stop = [&] { return asked++ == 2; }};
        try {
            EXPECT_EQ(to_json(run(how)), whole);
            finished = true;
        } catch (const Error& error) {
            EXPECT_THAT(error.what(), HasSubstr("give the same command again"));
        }
    }
    // 2 lengths, a sample, 2 windows, 2 needles, 2 questions: two at a time.
    EXPECT_EQ(runs, 5);
}

TEST_F(Comparisons, AnItemOfWhichARowIsMissingRunsAgain) {
    const nlohmann::json settings = {{"evaluation", "compare"}};
    const std::string path = this->path("items.jsonl");
    nlohmann::json whole;
    {
        Journal journal(path, settings);
        whole = to_json(run({.journal = &journal}));
    }
    const std::string text = read("items.jsonl");
    // Killed while it wrote the last row.
    static_cast<void>(file("items.jsonl", text.substr(0, text.size() - 20)));
    Journal journal(path, settings);
    std::vector<std::string> ran;
    ItemOptions how{.journal = &journal};
    how.on_progress = [&](const ItemProgress& now) { ran.push_back(now.next); };
    EXPECT_EQ(to_json(run(how)), whole);
    EXPECT_EQ(ran, (std::vector<std::string>{"piqa", ""}));
}

TEST_F(Comparisons, AJournalOfOthersIsRefused) {
    const nlohmann::json settings = {{"evaluation", "compare"}};
    Journal journal(path("items.jsonl"), settings);
    // Item 9 to 11 are the first window's.
    for (int64_t item = 0; item < 12; ++item) {
        journal.add(item, {.scores = item < 9 ? std::map<std::string, double>{}
                                              : std::map<std::string, double>{{"other", 1}}});
    }
    try {
        static_cast<void>(run({.journal = &journal}));
        FAIL() << "nothing was refused";
    } catch (const FileError& error) {
        EXPECT_THAT(error.what(), HasSubstr("item 9 is none of this"));
    }
}

TEST_F(Comparisons, ProgressGoesFromNothingToAll) {
    std::vector<double> shares;
    ItemOptions how;
    how.on_progress = [&](const ItemProgress& now) {
        EXPECT_EQ(now.total, 9);
        EXPECT_EQ(now.done, std::ssize(shares));
        shares.push_back(now.share);
    };
    static_cast<void>(run(how));
    EXPECT_EQ(shares.front(), 0);
    EXPECT_EQ(shares.back(), 1);
    EXPECT_TRUE(std::is_sorted(shares.begin(), shares.end()));
}

TEST_F(Comparisons, SpeedIsMeasuredAtDepths) {
    tasks_ = ComparisonTasks{};
    tasks_.speed = {.prompts = {}, .depths = {0, 300}, .generate = 2, .repeat = 3};
    const ComparisonReport report = run();
    for (const ComparedCache& cache : report.caches) {
        ASSERT_EQ(cache.speed.size(), 2u);
        EXPECT_EQ(cache.speed[1].depth, 300);
        EXPECT_GT(cache.speed[1].tokens_per_second, 0);
        EXPECT_GT(cache.speed[1].attention_seconds, 0);
        EXPECT_FALSE(cache.text);
    }
}

TEST_F(Comparisons, RefusesWhatCannotBe) {
    std::vector<Contestant> foreign = two();
    foreign[0].plan.fingerprint = "another";
    EXPECT_THAT(refusal(foreign), HasSubstr("same"));
    const ComparisonTasks good = tasks_;
    tasks_.prefill = 47;
    EXPECT_THAT(refusal({}), HasSubstr("no target"));
    tasks_ = good;
    tasks_.needle.lengths = {200, 100000};
    EXPECT_THAT(refusal({}), HasSubstr("haystack has"));
    tasks_ = good;
    tasks_.speed.depths = {2000};
    EXPECT_THAT(refusal({}), HasSubstr("context of 1024"));
    tasks_ = good;
    tasks_.prompts = {{"empty", {}}};
    EXPECT_THAT(refusal({}), HasSubstr("empty prompt"));
}

}  // namespace
}  // namespace lowkey
