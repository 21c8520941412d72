#include "lowkey/evaluation.h"

#include <gtest/gtest.h>

#include "lowkey/error.h"
#include "tests/cli/program.h"

namespace lowkey {
namespace {

class ApiEvaluation : public Program {
protected:
    const api::Model small_ = api::Model::load("small");
    const api::Plan plan_ = api::Plan::make(small_, "streaming", {.settings = {{"window", 150}}});
    const std::string text_path_ = std::string(LOWKEY_SMALL_MODEL) + "/sample.txt";
    const std::string text_ = [this] {
        std::ifstream in(text_path_);
        return std::string(std::istreambuf_iterator<char>(in), {});
    }();
};

TEST_F(ApiEvaluation, PerplexityIsTheProgramsOwn) {
    plan_.save(path("a.plan"));
    int64_t last = 0;
    const api::Perplexity got =
        api::measure_perplexity(small_, plan_, text_,
                                {.length = 400,
                                 .prefill = 300,
                                 .reference = true,
                                 .on_progress = [&](int64_t done, int64_t total) {
                                     EXPECT_LE(done, total);
                                     last = done;
                                 }});
    const nlohmann::json want =
        json_of({"eval", "perplexity", "small", "--text", text_path_, "--length", "400",
                 "--prefill", "300", "--reference", "--plan", path("a.plan")});
    EXPECT_DOUBLE_EQ(got.perplexity, want.at("perplexity"));
    EXPECT_DOUBLE_EQ(got.nll, want.at("nll"));
    EXPECT_EQ(got.tokens, want.at("tokens"));
    EXPECT_EQ(got.windows, want.at("windows"));
    EXPECT_EQ(got.cache.bytes_allocated, want.at("cache").at("bytes_allocated"));
    ASSERT_TRUE(got.reference.has_value());
    EXPECT_DOUBLE_EQ(got.reference->mean_kl, want.at("mean_kl"));
    EXPECT_DOUBLE_EQ(got.reference->top1_agreement, want.at("top1_agreement"));
    EXPECT_DOUBLE_EQ(got.reference->nll, want.at("reference_nll"));
    EXPECT_EQ(last, 400);
}

TEST_F(ApiEvaluation, NeedleIsTheProgramsOwn) {
    plan_.save(path("a.plan"));
    const std::vector<std::string> texts = {text_};
    const api::NeedleResult got = api::measure_needle(
        small_, plan_, texts, {.lengths = {200, 300}, .depths = {0.5}, .trials = 1, .seed = 5});
    const nlohmann::json want =
        json_of({"eval", "needle", "small", "--haystack", text_path_, "--lengths", "200,300",
                 "--depths", "0.5", "--trials", "1", "--seed", "5", "--plan", path("a.plan")});
    ASSERT_EQ(got.grid.size(), 2);
    EXPECT_EQ(got.grid[1].length, 300);
    EXPECT_EQ(got.grid[1].depth, 0.5);
    EXPECT_EQ(got.grid[1].score, want.at("grid").at(1).at("score"));
    EXPECT_EQ(got.mean, want.at("mean"));
    EXPECT_EQ(got.cache.bytes_allocated, want.at("cache").at("bytes_allocated"));
    EXPECT_EQ(got.cache.tokens, want.at("cache").at("tokens"));
}

TEST_F(ApiEvaluation, RefusesBadInput) {
    const auto perplexity = [&](const api::PerplexityOptions& options) {
        return api::measure_perplexity(small_, plan_, text_, options);
    };
    EXPECT_THROW(perplexity({}), UsageError) << "the text is shorter than a window";
    EXPECT_THROW(perplexity({.length = 1}), UsageError);
    EXPECT_THROW(perplexity({.length = 100, .max_tokens = 50}), UsageError);
    EXPECT_THROW(perplexity({.length = 100, .prefill = 99}), UsageError);
    EXPECT_THROW(perplexity({.length = 100, .prefill = -1}), UsageError);
    EXPECT_THROW(
        api::measure_perplexity(small_, plan_, std::vector<int32_t>(100, 4096), {.length = 100}),
        UsageError);
    const std::vector<std::string> texts = {text_};
    const auto needle = [&](const api::NeedleOptions& options) {
        return api::measure_needle(small_, plan_, texts, options);
    };
    EXPECT_THROW(needle({}), UsageError) << "the haystack is shorter than a prompt";
    EXPECT_THROW(needle({.lengths = {100}, .depths = {2}}), UsageError);
    EXPECT_THROW(needle({.lengths = {100}, .trials = 0}), UsageError);
    const api::Model tiny =
        api::Model::load(std::string(LOWKEY_TEST_DATA) + "/models/llama-gqa-tied");
    EXPECT_THROW(api::measure_needle(tiny, api::Plan::uncompressed(tiny), texts), UnsupportedError);
    EXPECT_THROW(api::measure_perplexity(tiny, plan_, std::vector<int32_t>(10, 3), {.length = 10}),
                 UsageError)
        << "a plan of another model";
    EXPECT_THROW(
        perplexity(
            {.length = 100, .prefill = 50, .on_progress = [](int64_t, int64_t) { throw 1; }}),
        int);
}

}  // namespace
}  // namespace lowkey
