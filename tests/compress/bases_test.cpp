#include "compress/bases.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/compress/golden.h"

namespace lowkey {
namespace {

using Eigen::MatrixXd;
using test::Golden;

class GoldenBases : public ::testing::TestWithParam<std::string> {};

/// Largest difference over the largest entry.
double relative_error(std::span<const double> got, std::span<const double> want) {
    double error = 0;
    double largest = 0;
    for (size_t i = 0; i < want.size(); ++i) {
        error = std::max(error, std::abs(got[i] - want[i]));
        largest = std::max(largest, std::abs(want[i]));
    }
    return error / largest;
}

TEST_P(GoldenBases, GramsEqualTheReference) {
    const Golden golden(GetParam());
    const CalibrationStats stats = golden.calibrate();
    EXPECT_EQ(stats.rest.size(), gram_kinds(golden.model->rotates()).size());
    for (const auto& [kind, rest] : stats.rest) {
        if (kind.ends_with("_attended")) continue;  // ours: see attended_grams_test.cpp
        std::vector<double> sum(rest.as<double>().begin(), rest.as<double>().end());
        for (size_t i = 0; i < sum.size(); ++i) sum[i] += stats.first.at(kind).as<double>()[i];
        EXPECT_LE(relative_error(sum, golden.numbers.tensor("gram." + kind).as<double>()), 1e-5)
            << kind;
    }
}

TEST_P(GoldenBases, ScoreWeightEqualsTheReference) {
    const Golden golden(GetParam());
    const auto grams = head_grams(*golden.model, golden.calibrate(), true);
    // Without rotary positions keys meet queries as they are.
    const char* weight = golden.model->rotates() ? "gram.C" : "gram.Q";
    const auto want = golden.numbers.tensor(weight).as<double>();
    std::vector<double> got;
    for (const auto& heads : grams) {
        for (const HeadGrams& g : heads) {
            for (Eigen::Index i = 0; i < g.c.rows(); ++i) {
                for (Eigen::Index j = 0; j < g.c.cols(); ++j) got.push_back(g.c(i, j));
            }
        }
    }
    EXPECT_LE(relative_error(got, want), 1e-5);
}

TEST_P(GoldenBases, EnergiesEqualTheReference) {
    const Golden golden(GetParam());
    const auto grams = head_grams(*golden.model, golden.calibrate(), true);
    const auto check = [&](const BasisKind& kind) {
        const std::string name = "energy." + std::string(kind.name);
        if (!golden.numbers.contains(name)) return;
        std::vector<double> got;
        for (const auto& heads : grams) {
            for (const HeadGrams& g : heads) {
                const Basis basis = kind.make(g);
                got.insert(got.end(), basis.energy.data(),
                           basis.energy.data() + basis.energy.size());
            }
        }
        EXPECT_LE(relative_error(got, golden.numbers.tensor(name).as<double>()), 1e-5) << kind.name;
    };
    for (const BasisKind& kind : key_basis_kinds()) check(kind);
    for (const BasisKind& kind : value_basis_kinds()) check(kind);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenBases, ::testing::ValuesIn(test::golden_names()),
                         [](const auto& test) { return test::test_name(test.param); });

MatrixXd random_gram(int64_t d, int64_t rows, unsigned seed) {
    std::srand(seed);
    const MatrixXd x = MatrixXd::Random(rows, d);
    return x.transpose() * x;
}

TEST(Bases, FullRankIsTheIdentity) {
    const MatrixXd gram = random_gram(12, 40, 1);
    const MatrixXd weight = random_gram(12, 30, 2);
    for (const Basis& basis : {svd_basis(gram), product_basis(gram, weight)}) {
        EXPECT_LE((basis.encode * basis.decode - MatrixXd::Identity(12, 12)).norm(), 1e-9);
    }
}

TEST(Bases, ProductEnergiesSayWhatIsLost) {
    std::srand(3);
    const MatrixXd x = MatrixXd::Random(50, 10);
    const MatrixXd y = MatrixXd::Random(60, 10);
    const Basis basis = product_basis(x.transpose() * x, y.transpose() * y);
    const Basis plain = svd_basis(x.transpose() * x + y.transpose() * y);
    for (const Eigen::Index rank : {1, 4, 9}) {
        const auto lost = [&](const Basis& b) {
            const MatrixXd m = b.encode.leftCols(rank) * b.decode.topRows(rank);
            return (x * (MatrixXd::Identity(10, 10) - m) * y.transpose()).squaredNorm();
        };
        EXPECT_NEAR(lost(basis), basis.energy.tail(10 - rank).sum(), 1e-8 * basis.energy.sum());
        EXPECT_LE(lost(basis), lost(plain) * (1 + 1e-9));
    }
}

TEST(Bases, MeanRotatedBackIsTheMeanOverPositions) {
    for (const auto pairs : {RopeConfig::Pairs::kHalves, RopeConfig::Pairs::kInterleaved}) {
        RopeConfig config;
        config.rotary_dim = 6;  // of 8: the last two coordinates do not rotate
        config.pairs = pairs;
        config.attention_factor = 1.25;
        const RotaryTable table(config, 100);
        const MatrixXd gram = random_gram(8, 20, 4);
        MatrixXd want = MatrixXd::Zero(8, 8);
        for (int64_t p = 0; p < 100; ++p) {
            MatrixXd r(8, 8);
            for (int64_t i = 0; i < 8; ++i) {
                std::vector<float> unit(8, 0.0f);
                unit[static_cast<size_t>(i)] = 1;
                table.rotate(unit.data(), p);
                for (int64_t j = 0; j < 8; ++j) r(i, j) = unit[static_cast<size_t>(j)];
            }
            want += r * gram * r.transpose() / 100;
        }
        const MatrixXd got = mean_rotated_back(gram, table, 100);
        EXPECT_LE((got - want).cwiseAbs().maxCoeff(), 1e-5 * want.cwiseAbs().maxCoeff());
    }
}

TEST(Bases, RankIsTheSmallestThatKeepsTheShare) {
    const Eigen::VectorXd energy = (Eigen::VectorXd(4) << 16, 4, 1, 0).finished();
    EXPECT_EQ(rank_for(energy, 0.5, EnergyKind::kSquared), 1);
    EXPECT_EQ(rank_for(energy, 16.0 / 21, EnergyKind::kSquared), 1);
    EXPECT_EQ(rank_for(energy, 0.77, EnergyKind::kSquared), 2);
    EXPECT_EQ(rank_for(energy, 0.77, EnergyKind::kSingular), 2);
    EXPECT_EQ(rank_for(energy, 0.9, EnergyKind::kSingular), 3);
    EXPECT_EQ(rank_for(energy, 1.0, EnergyKind::kSquared), 4);
    EXPECT_EQ(rank_for(energy, 1e-9, EnergyKind::kSquared), 1);
}

TEST(Bases, UnknownNamesAreUsageErrors) {
    EXPECT_THROW(find_key_basis("best", true), UsageError);
    EXPECT_THROW(find_key_basis("joint-rotated", false), UsageError);
    EXPECT_THROW(find_value_basis("keys"), UsageError);
}

}  // namespace
}  // namespace lowkey
