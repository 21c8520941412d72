#include "report/comparison_verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/report/sample_report.h"

namespace lowkey {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class Verdict : public ::testing::Test {
protected:
    [[nodiscard]] std::vector<std::string> losses(size_t row) const {
        std::vector<std::string> words;
        for (const Loss& loss : losses_of(report_, report_.caches[row])) words.push_back(loss.what);
        return words;
    }
    ComparisonReport report_ = sample_report();
};

TEST_F(Verdict, NamesEveryLoss) {
    EXPECT_THAT(losses(0), IsEmpty());
    EXPECT_THAT(losses(1), IsEmpty());
    EXPECT_THAT(losses(2), ElementsAre("perplexity +22.1 %", "3 of 4 needles lost",
                                       "speed 0.60× (0.58 to 0.62) at 4096 tokens"));
}

TEST_F(Verdict, ChanceIsNoLoss) {
    report_.caches[1].text->change = 0.0019;
    EXPECT_THAT(losses(1), IsEmpty()) << "within two standard errors";
    report_.caches[1].text->change = 0.0021;
    EXPECT_THAT(losses(1), ElementsAre("perplexity +0.21 %"));
    EXPECT_FALSE(losses_of(report_, report_.caches[1]).front().severe);
    report_.caches[1].text->change = -1;
    EXPECT_THAT(losses(1), IsEmpty()) << "better is no loss";
}

TEST_F(Verdict, AnswersAreComparedQuestionByQuestion) {
    auto& full = *report_.caches[0].task;
    auto& own = *report_.caches[1].task;
    full.right.assign(20, true);
    own.right = full.right;
    for (size_t i = 0; i < 4; ++i) own.right[i] = false;
    EXPECT_THAT(losses(1), IsEmpty()) << "four of four heads may be chance";
    own.right[4] = false;
    EXPECT_THAT(losses(1), ElementsAre("5 of 20 piqa answers lost, 0 won"));
}

TEST_F(Verdict, ACacheThatIsNoSmallerLoses) {
    report_.caches[1].memory[0].bytes_allocated = report_.caches[0].memory[0].bytes_allocated;
    EXPECT_THAT(losses(1), ElementsAre("no smaller than uncompressed at 1024 tokens"));
    EXPECT_FALSE(losses_of(report_, report_.caches[1]).front().severe);
    report_.caches[1].memory[1].bytes_allocated = report_.caches[0].memory[1].bytes_allocated;
    EXPECT_TRUE(losses_of(report_, report_.caches[1]).front().severe);
}

TEST_F(Verdict, NoiseIsNoLossOfSpeed) {
    SpeedScore& speed = report_.caches[1].speed[1];
    speed = {.depth = 4096,
             .tokens_per_second = 12,
             .attention_seconds = 0,
             .share = 0.23,
             .share_low = 0.2,
             .share_high = 1.07};
    EXPECT_THAT(losses(1), IsEmpty()) << "one of five runs was not slower";
    speed.share_high = 0.96;
    EXPECT_THAT(losses(1), IsEmpty()) << "a few per cent are no loss";
    speed.share_high = 0.9;
    EXPECT_THAT(losses(1), ElementsAre("speed 0.23× (0.20 to 0.90) at 4096 tokens"));
    EXPECT_FALSE(losses_of(report_, report_.caches[1]).front().severe) << "it may be 0.9";
    report_.caches[0].speed[1].share_low = 0.85;
    EXPECT_THAT(losses(1), IsEmpty()) << "the uncompressed cache differs as much from itself";
    report_.caches[0].speed[1].share_low = 0.97;
    speed.share_high = 0.7;
    EXPECT_TRUE(losses_of(report_, report_.caches[1]).front().severe);
    speed.share_low = speed.share_high = 0;
    EXPECT_THAT(losses(1), IsEmpty()) << "too few runs";
    EXPECT_EQ(format_share(speed), "0.23×");
    for (ComparedCache& cache : report_.caches) {
        for (SpeedScore& each : cache.speed) each.share_low = each.share_high = 0;
    }
    report_.speed_repeats = 1;
    EXPECT_THAT(findings(report_).back(), HasSubstr("speeds on one run, too few to call"));
}

TEST_F(Verdict, ALossIsToldOfTheDepthWhereItIsWorst) {
    SpeedScore& shallow = report_.caches[1].speed[0];
    shallow.share = 0.5;
    shallow.share_low = 0.4;
    shallow.share_high = 0.6;
    EXPECT_THAT(losses(1), ElementsAre("speed 0.50× (0.40 to 0.60) at 0 tokens"));
    EXPECT_FALSE(speed_loss(report_, report_.caches[1], 1)) << "which is 1.20× there";
}

TEST_F(Verdict, FindingsShowTheBadSideToo) {
    const std::vector<std::string> sentences = findings(report_);
    EXPECT_THAT(sentences.front(),
                AllOf(HasSubstr("good (50 % of the bytes)"), HasSubstr("sees no loss")));
    EXPECT_THAT(sentences, Contains(AllOf(HasSubstr("bad (60 % of the bytes) loses"),
                                          HasSubstr("3 of 4 needles lost"))));
    EXPECT_THAT(sentences, Contains(HasSubstr("bad (60 % of the bytes) loses: ")));
    EXPECT_THAT(sentences, Contains(HasSubstr("; beaten by good.")));
    EXPECT_THAT(sentences.back(),
                AllOf(HasSubstr("2046 tokens decoded through the cache after a prompt of 1024 in 2 "
                                "windows"),
                      HasSubstr("5 runs in turn, where the uncompressed cache differs from itself "
                                "by up to 3 %")));
    report_.caches.erase(report_.caches.begin() + 1);
    EXPECT_THAT(findings(report_).front(), HasSubstr("No compressed cache gets by"));
    report_.caches.pop_back();
    EXPECT_THAT(findings(report_), Not(Contains(HasSubstr("compressed cache gets by"))));
    EXPECT_THAT(findings(ComparisonReport()), IsEmpty());
}

TEST_F(Verdict, ChangesHaveSignsAndFewDigits) {
    EXPECT_EQ(format_change(0.01234), "+1.23 %");
    EXPECT_EQ(format_change(-0.5), "-50.0 %");
    EXPECT_EQ(format_change(-0.0000001), "±0.00 %");
}

}  // namespace
}  // namespace lowkey
