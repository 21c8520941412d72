#include "compress/calibration.h"

#include <gtest/gtest.h>

#include "base/error.h"
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

TEST(Calibration, RefusesUnequalAndTooLongSequences) {
    const Golden golden("qwen2");
    EXPECT_THROW(calibrate(*golden.model, {}), UsageError);
    EXPECT_THROW(calibrate(*golden.model, {{1, 2}, {1, 2, 3}}), UsageError);
    EXPECT_THROW(calibrate(*golden.model, {std::vector<int32_t>(100000, 1)}), UsageError);
}

}  // namespace
}  // namespace lowkey
