#include "compress/calibration.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "base/error.h"
#include "compress/calibration_part.h"
#include "tests/compress/golden.h"
#include "tests/io/temporary_folder.h"

namespace lowkey {
namespace {

using test::Golden;

using CalibrationFile = TemporaryFolder;

TEST_F(CalibrationFile, StatisticsComeBack) {
    const Golden golden("opt");
    CalibrationStats stats = golden.calibrate();
    stats.settings = {{"source", "ids"}};
    write_stats(path("s"), stats);
    const CalibrationStats back = read_stats(path("s"), *golden.model);
    EXPECT_EQ(back.ids, stats.ids);
    EXPECT_EQ(back.first_tokens, stats.first_tokens);
    EXPECT_EQ(back.settings, stats.settings);
    for (const auto& [kind, gram] : stats.rest) {
        EXPECT_TRUE(std::equal(gram.as<double>().begin(), gram.as<double>().end(),
                               back.rest.at(kind).as<double>().begin()));
    }
    const Golden other("qwen2");
    EXPECT_THROW(static_cast<void>(read_stats(path("s"), *other.model)), UsageError);
    EXPECT_THROW(static_cast<void>(read_stats(golden.folder + "/model.safetensors", *golden.model)),
                 FileError);
}

// The result of a run that was stopped is that of one that was not, to the last bit.
TEST_F(CalibrationFile, AStoppedRunGoesOn) {
    const Golden golden("qwen2");
    const auto ids = golden.ids("calib.ids");
    ASSERT_GT(ids.size(), 2u);
    const CalibrationStats want = calibrate(*golden.model, ids);
    {
        CalibrationPart part(path("p"), "key", *golden.model);
        EXPECT_THROW(
            calibrate(*golden.model, ids,
                      {.part = &part, .should_stop = [n = 0]() mutable { return ++n == 2; }}),
            Error);
    }
    EXPECT_EQ(CalibrationPart(path("p"), "another", *golden.model).done(), 0);
    CalibrationPart part(path("p"), "key", *golden.model);
    EXPECT_EQ(part.done(), 2);
    EXPECT_EQ(part.ids(), ids);
    const CalibrationStats got = calibrate(*golden.model, ids, {.part = &part});
    EXPECT_EQ(stats_hash(got), stats_hash(want));
    part.remove();
    EXPECT_FALSE(std::filesystem::exists(path("p")));
    static_cast<void>(file("notes", "my notes"));
    EXPECT_THROW(CalibrationPart(path("notes"), "key", *golden.model), FileError);
}

TEST_F(CalibrationFile, SamplingGoesOnToo) {
    const Golden golden("qwen2");
    const auto want = sample_sequences(*golden.model, 6, 12, 5, 1);
    {
        CalibrationPart part(path("p"), "key", *golden.model);
        EXPECT_THROW(sample_sequences(*golden.model, 6, 12, 5, 1,
                                      {.part = &part, .should_stop = [] { return true; }}),
                     Error);
    }
    CalibrationPart part(path("p"), "key", *golden.model);
    EXPECT_EQ(part.ids().size(), static_cast<size_t>(kSampledTogether));
    EXPECT_EQ(sample_sequences(*golden.model, 6, 12, 5, 1, {.part = &part}), want);
}

// Statistics are refused by name when they hold what no calibration gives.
TEST_F(CalibrationFile, RefusesWhatNoCalibrationGives) {
    const Golden golden("opt");
    const auto refusal = [&](const CalibrationStats& stats) {
        write_stats(path("s"), stats);
        return message_of<FileError>([&] { read_stats(path("s"), *golden.model); });
    };
    CalibrationStats bad = golden.calibrate();
    bad.rest.at("V").as<double>()[5] = std::numeric_limits<double>::quiet_NaN();
    EXPECT_NE(refusal(bad).find("not finite: " + path("s") + ", rest.V, layer 0, KV head 0"),
              std::string::npos)
        << refusal(bad);
    bad = golden.calibrate();
    bad.first.at("K").as<double>()[0] = -1;
    EXPECT_NE(refusal(bad).find("first.K"), std::string::npos);
    bad = golden.calibrate();
    bad.rest.emplace("W", Tensor::zeros(DType::kF64, bad.rest.at("V").shape()));
    EXPECT_NE(refusal(bad).find("'rest.W'"), std::string::npos);
    bad = golden.calibrate();
    bad.rest.erase("V");
    EXPECT_NE(refusal(bad).find("rest.V"), std::string::npos);
    bad = golden.calibrate();
    for (const auto& [key, value] : std::vector<std::pair<std::string, nlohmann::json>>{
             {"version", 3}, {"frobnicate", 1}, {"first_tokens", -1}, {"settings", {{"a", {1}}}}}) {
        nlohmann::json document = {{"version", 2},
                                   {"fingerprint", bad.fingerprint},
                                   {"first_tokens", 4},
                                   {"settings", nlohmann::json::object()}};
        document[key] = value;
        write_stats_tensors(path("s"), bad, {{"lowkey.stats", document.dump()}});
        EXPECT_NE(message_of<FileError>([&] { read_stats(path("s"), *golden.model); }), "") << key;
    }
}

TEST(Calibration, FirstTokensAreKeptApart) {
    const Golden golden("qwen2");
    const auto ids = golden.ids("calib.ids");
    const CalibrationStats none = calibrate(*golden.model, ids, {.first_tokens = 0});
    const CalibrationStats four = calibrate(*golden.model, ids, {.first_tokens = 4});
    for (const auto& [kind, gram] : none.rest) {
        if (kind == "Q_attended") continue;  // of pairs sampled from all tokens, or from the rest
        for (size_t i = 0; i < gram.as<double>().size(); ++i) {
            const double sum =
                four.rest.at(kind).as<double>()[i] + four.first.at(kind).as<double>()[i];
            ASSERT_NEAR(sum, gram.as<double>()[i], 1e-6 * std::abs(gram.as<double>()[i]) + 1e-9)
                << kind;
        }
    }
}

TEST(Calibration, SequencesAreCutAtEvenDistances) {
    std::vector<int32_t> tokens(100);
    for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i);
    const auto cut = cut_sequences(tokens, 3, 10, 0, std::nullopt);
    ASSERT_EQ(cut.size(), 3);
    EXPECT_EQ(cut[0].front(), 0);
    EXPECT_EQ(cut[1].front(), 30);
    EXPECT_EQ(cut[2].back(), 69);
    const auto with_bos = cut_sequences(tokens, 2, 10, 0, 77);
    EXPECT_EQ(with_bos[1].size(), 10);
    EXPECT_EQ(with_bos[1].front(), 77);
    EXPECT_NE(cut_sequences(tokens, 3, 10, 1, std::nullopt), cut);
    EXPECT_EQ(cut_sequences(tokens, 3, 10, 1, std::nullopt),
              cut_sequences(tokens, 3, 10, 1, std::nullopt));
    EXPECT_THROW(cut_sequences(tokens, 3, 101, 0, std::nullopt), UsageError);
    // The same tokens again would count as more observations than there are.
    const auto most = cut_sequences(tokens, 1000, 30, 0, std::nullopt);
    ASSERT_EQ(most.size(), 3);
    EXPECT_LT(most[0].back(), most[1].front());
    EXPECT_EQ(cut_sequences(tokens, 1000, 30, 1, std::nullopt).size(), 3);
}

TEST(Calibration, SamplesAreReproducible) {
    const Golden golden("qwen2");
    const auto a = sample_sequences(*golden.model, 3, 20, 5, 1);
    EXPECT_EQ(a, sample_sequences(*golden.model, 3, 20, 5, 1));
    EXPECT_NE(a, sample_sequences(*golden.model, 3, 20, 6, 1));
    EXPECT_EQ(a[0].size(), 20);
    EXPECT_EQ(a[2][0], 1);
    EXPECT_NE(a[0], a[1]);
    EXPECT_THROW(sample_sequences(*golden.model, 1, 100000, 0, 1), UsageError);
}

TEST(Calibration, SamplesDoNotDependOnHowManyThereAre) {
    const Golden golden("qwen2");
    const auto many = sample_sequences(*golden.model, 9, 20, 5, 1);
    const auto few = sample_sequences(*golden.model, 3, 20, 5, 1);
    EXPECT_TRUE(std::equal(few.begin(), few.end(), many.begin()));
}

TEST(Calibration, CachesStayWithinTheBudget) {
    const Golden golden("qwen2");
    const CalibrationOptions tight{.kv_budget_bytes = kPageBytes};
    EXPECT_THROW(sample_sequences(*golden.model, 1, 20, 5, 1, tight), BudgetError);
    EXPECT_THROW(calibrate(*golden.model, golden.ids("calib.ids"), tight), BudgetError);
}

TEST(Calibration, RefusesUnequalAndTooLongSequences) {
    const Golden golden("qwen2");
    EXPECT_THROW(calibrate(*golden.model, {}), UsageError);
    EXPECT_THROW(calibrate(*golden.model, {{1, 2}, {1, 2, 3}}), UsageError);
    EXPECT_THROW(calibrate(*golden.model, {std::vector<int32_t>(100000, 1)}), UsageError);
}

}  // namespace
}  // namespace lowkey
