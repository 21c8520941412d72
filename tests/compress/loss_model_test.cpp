#include "compress/loss_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "compress/rank_contest.h"
#include "tests/compress/golden.h"
#include "tests/io/temporary_folder.h"

namespace lowkey {
namespace {

using test::Golden;

/// A small model with bases of its keys and values.
class Losses : public TemporaryFolder {
protected:
    Losses() {
        const CalibrationStats stats = golden_.calibrate();
        const BasisKind& key = find_key_basis("keys", golden_.model->rotates());
        const BasisKind& value = find_value_basis("values");
        for (const auto& heads : head_grams(*golden_.model, stats, true)) {
            std::vector<HeadBases>& layer = bases_.emplace_back();
            for (const HeadGrams& grams : heads)
                layer.push_back({key.make(grams), value.make(grams)});
        }
        sequences_ = {stats.ids.front()};
    }

    [[nodiscard]] int64_t head_dim() const { return golden_.model->config().head_dim; }
    [[nodiscard]] size_t num_heads() const { return bases_.size() * bases_.front().size(); }
    [[nodiscard]] std::vector<HeadRanks> all_of(int64_t key, int64_t value) const {
        return std::vector<HeadRanks>(num_heads(), {key, value});
    }
    [[nodiscard]] MakeHead make_head() const {
        return [this](int64_t layer, int64_t head, const HeadRanks& ranks) {
            const HeadBases& own = bases_[static_cast<size_t>(layer)][static_cast<size_t>(head)];
            return HeadPlan{{}, codec(own.key, ranks.key), codec(own.value, ranks.value), 0};
        };
    }
    [[nodiscard]] LossModel loss_model(MeasurementJournal& journal) const {
        return {golden_.model, sequences_, bases_, make_head(), journal};
    }
    /// Energy that the first head's keys, then values, lose at a rank.
    [[nodiscard]] double key_tail(int64_t rank) const {
        return bases_[0][0].key.energy.tail(head_dim() - rank).sum();
    }

    Golden golden_{"qwen2"};
    std::vector<std::vector<HeadBases>> bases_;
    std::vector<std::vector<int32_t>> sequences_;

private:
    [[nodiscard]] CodecSpec codec(const Basis& basis, int64_t rank) const {
        const int64_t d = head_dim();
        if (rank >= d) return {};
        Tensor encode(DType::kF32, {d, rank});
        Tensor decode(DType::kF32, {rank, d});
        for (int64_t i = 0; i < d; ++i) {
            for (int64_t r = 0; r < rank; ++r) {
                encode.f32()[static_cast<size_t>(i * rank + r)] =
                    static_cast<float>(basis.encode(i, r));
                decode.f32()[static_cast<size_t>(r * d + i)] =
                    static_cast<float>(basis.decode(r, i));
            }
        }
        return {.map = {"linear",
                        {},
                        {{"encode", std::make_shared<const Tensor>(std::move(encode))},
                         {"decode", std::make_shared<const Tensor>(std::move(decode))}}}};
    }
};

TEST_F(Losses, DivergenceIsNothingAtFullRankAndGrowsAsRanksFall) {
    MeasurementJournal journal;
    LossModel model = loss_model(journal);
    const int64_t d = head_dim();
    // The reference holds logarithms in f32: each is off by 2^-24 of itself, and the divergence by
    // no more of the distribution's entropy.
    const double rounding = 0x1p-24 * std::log(golden_.model->config().vocab_size);
    EXPECT_NEAR(model.divergence(all_of(d, d)), 0, rounding);
    double last = 0;
    for (const int64_t rank : {d * 3 / 4, d / 2, d / 4, int64_t{1}}) {
        const double kl = model.divergence(all_of(rank, rank));
        EXPECT_GT(kl, last) << rank;
        last = kl;
    }
}

// A share is what giving back one head's keys or values saves; computed here the long way.
TEST_F(Losses, SharesAreWhatGivingBackSaves) {
    MeasurementJournal journal;
    LossModel model = loss_model(journal);
    const int64_t d = head_dim();
    const auto ranks = all_of(d / 4, d / 4);
    const LossModel::Shares shares = model.measure_shares(ranks);
    ASSERT_EQ(shares.key.size(), num_heads());
    ASSERT_EQ(shares.value.size(), num_heads());
    const double whole = model.divergence(ranks);
    for (size_t h = 0; h < num_heads(); ++h) {
        auto given = ranks;
        given[h].key = d;
        EXPECT_NEAR(shares.key[h], whole - model.divergence(given), 1e-9) << h;
        given = ranks;
        given[h].value = d;
        EXPECT_NEAR(shares.value[h], whole - model.divergence(given), 1e-9) << h;
    }
}

TEST_F(Losses, CurvesFollowTheEnergyAndTrustMovesThemApart) {
    MeasurementJournal journal;
    const LossModel model = loss_model(journal);
    const int64_t d = head_dim();
    const auto ranks = all_of(d / 2, d / 2);
    LossModel::Shares shares{std::vector<double>(num_heads(), 1),
                             std::vector<double>(num_heads(), 2)};
    shares.key[0] = 4;  // more than the mean of keys
    double mean = 0;
    for (const double share : shares.key) mean += share / static_cast<double>(num_heads());
    const auto at = static_cast<size_t>(d / 2);
    const auto alike = model.losses(ranks, shares, 0);
    const auto apart = model.losses(ranks, shares, 1);
    ASSERT_EQ(alike.size(), num_heads());
    EXPECT_NEAR(alike[0].key[at], mean, 1e-9) << "no trust: every head costs the mean";
    EXPECT_NEAR(apart[0].key[at], 4, 1e-9) << "full trust: what was measured";
    EXPECT_NEAR(apart[1].value[at], 2, 1e-9);
    for (const std::vector<HeadLoss>& losses : {alike, apart}) {
        for (const HeadLoss& head : losses) {
            ASSERT_EQ(head.key.size(), static_cast<size_t>(d) + 1);
            EXPECT_NEAR(head.key.back(), 0, 1e-12);
            for (size_t r = 1; r < head.key.size(); ++r) {
                EXPECT_LE(head.key[r], head.key[r - 1] + 1e-12);
                EXPECT_LE(head.value[r], head.value[r - 1] + 1e-12);
            }
        }
    }
    EXPECT_NEAR(apart[0].key[1] / apart[0].key[at], key_tail(1) / key_tail(d / 2), 1e-9);
}

// Noise makes some shares negative: no head's loss may be.
TEST_F(Losses, NegativeSharesCountAsSmallOnes) {
    MeasurementJournal journal;
    const LossModel model = loss_model(journal);
    const int64_t d = head_dim();
    LossModel::Shares shares{std::vector<double>(num_heads(), 1),
                             std::vector<double>(num_heads(), 1)};
    shares.key[0] = -1;
    for (const HeadLoss& head : model.losses(all_of(d / 2, d / 2), shares, 1)) {
        for (const double loss : head.key) EXPECT_GE(loss, 0);
        EXPECT_GT(head.key.front(), 0);
    }
}

TEST_F(Losses, TheContestKeepsTheLeastDivergence) {
    MeasurementJournal journal;
    RankContest contest(golden_.model, sequences_, make_head(), journal);
    const int64_t d = head_dim();
    EXPECT_TRUE(contest.enter("quarter", all_of(d / 4, d / 4))) << "the first is always the best";
    const double first = contest.kl();
    EXPECT_FALSE(contest.enter("one", all_of(1, 1)));
    EXPECT_EQ(contest.kl(), first);
    EXPECT_TRUE(contest.enter("half", all_of(d / 2, d / 2)));
    EXPECT_LT(contest.kl(), first);
    EXPECT_FALSE(contest.enter("half again", all_of(d / 2, d / 2))) << "not better";
    EXPECT_EQ(contest.best().front().key, d / 2);
    ASSERT_EQ(contest.entries().size(), 4);
    EXPECT_EQ(contest.entries()[1]["ranks"], "one");
    EXPECT_EQ(contest.entries()[2]["kl"], contest.kl());
    LossModel model = loss_model(journal);
    EXPECT_NEAR(contest.kl(), model.divergence(all_of(d / 2, d / 2)), 1e-9);
    EXPECT_TRUE(std::isfinite(contest.nll()));
    EXPECT_GT(contest.nll(), 0);
}

TEST_F(Losses, AJournalGivesTheSameNumbersWithoutMeasuring) {
    const int64_t d = head_dim();
    const auto ranks = all_of(d / 4, d / 4);
    const nlohmann::json settings = {{"keep", 0.5}};
    const auto run = [&](MeasurementJournal& journal) {
        RankContest contest(golden_.model, sequences_, make_head(), journal);
        contest.enter("a", ranks);
        LossModel model = loss_model(journal);
        const LossModel::Shares shares = model.measure_shares(ranks);
        return std::pair(std::vector{contest.kl(), contest.nll()}, shares.key);
    };
    const auto want = [&] {
        MeasurementJournal journal(path("j"), settings);
        EXPECT_EQ(journal.found(), 0);
        return run(journal);
    }();
    MeasurementJournal again(path("j"), settings);
    EXPECT_GT(again.found(), 2);
    EXPECT_EQ(run(again), want);
}

using Journals = TemporaryFolder;

TEST_F(Journals, OtherSettingsBeginAnewAndOtherFilesStay) {
    const auto one = [] { return 1.0 / 3; };
    {
        MeasurementJournal journal(path("j"), {{"keep", 0.5}});
        EXPECT_EQ(journal.value("a", one), 1.0 / 3);
    }
    static_cast<void>(
        file("j", read("j") + R"({"name":"b","val)"));  // a killed process was writing
    {
        MeasurementJournal journal(path("j"), {{"keep", 0.5}});
        EXPECT_EQ(journal.found(), 1);
        EXPECT_EQ(journal.value("a", [] { return 7.0; }), 1.0 / 3);
        EXPECT_EQ(journal.value("b", one), 1.0 / 3);
        EXPECT_THROW(MeasurementJournal(path("j"), {{"keep", 0.5}}), FileError) << "in use";
    }
    {
        MeasurementJournal journal(path("j"), {{"keep", 0.6}});
        EXPECT_EQ(journal.found(), 0);
        MeasurementJournal::remove(path("j"));
    }
    EXPECT_FALSE(std::filesystem::exists(path("j")));
    static_cast<void>(file("notes", "my notes\n"));
    EXPECT_THROW(MeasurementJournal(path("notes"), {{"keep", 0.6}}), FileError);
    MeasurementJournal::remove(path("notes"));
    EXPECT_EQ(read("notes"), "my notes\n");
}

TEST_F(Journals, NumbersThatAreNotFiniteAreRefusedByName) {
    MeasurementJournal journal;
    try {
        journal.value("error of layer 3", [] { return std::numeric_limits<double>::quiet_NaN(); });
        FAIL();
    } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("not finite: error of layer 3"), std::string::npos);
    }
}

}  // namespace
}  // namespace lowkey
