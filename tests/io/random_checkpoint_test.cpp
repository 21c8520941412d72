#include "io/random_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/parallel.h"
#include "tests/io/temporary_folder.h"

namespace lowkey {
namespace {

using ::testing::Each;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

class RandomCheckpointTest : public TemporaryFolder {
protected:
    std::string config_ = file("config.json", R"({"model_type": "llama"})");
};

TEST_F(RandomCheckpointTest, SeedAndNameMakeTheWeights) {
    const int threads = num_threads();
    const Shape shape = {300, 1000};  // several blocks, the last one short
    const RandomCheckpoint first(config_, DType::kBF16, 7);
    const std::vector<float> weights = to_f32(first.tensor("a.weight", shape));
    set_num_threads(1);
    const RandomCheckpoint same(config_, DType::kBF16, 7);
    EXPECT_THAT(to_f32(same.tensor("a.weight", shape)), ElementsAreArray(weights));
    set_num_threads(threads);
    EXPECT_EQ(same.fingerprint(), first.fingerprint());

    const RandomCheckpoint other(config_, DType::kBF16, 8);
    EXPECT_NE(other.fingerprint(), first.fingerprint());
    EXPECT_NE(to_f32(other.tensor("a.weight", shape)), weights);
    EXPECT_NE(to_f32(first.tensor("b.weight", shape)), weights);
    // The same numbers in f32, so that dtypes can be compared.
    const RandomCheckpoint wide(config_, DType::kF32, 7);
    EXPECT_THAT(to_f32(wide.tensor("a.weight", shape)), ElementsAreArray(weights));
}

TEST_F(RandomCheckpointTest, WeightsAreAsLargeAsKeepsActivations) {
    const RandomCheckpoint random(config_, DType::kBF16);
    for (const int64_t in : {1, 5, 64, 2048, 11008}) {
        const std::vector<float> weights = to_f32(random.tensor(std::to_string(in), {256, in}));
        double sum = 0;
        double squares = 0;
        for (const float w : weights) {
            sum += w;
            squares += static_cast<double>(w) * w;
        }
        const auto n = static_cast<double>(weights.size());
        const double size = std::sqrt(squares / n * static_cast<double>(in));
        EXPECT_GT(size, 0.6) << in;  // a power of two near 1, and 256 numbers at least
        EXPECT_LT(size, 1.6) << in;
        EXPECT_LT(std::abs(sum / n), 4 * std::sqrt(squares) / n) << in;
    }
}

TEST_F(RandomCheckpointTest, VectorsAreNormsOrBiases) {
    const RandomCheckpoint random(config_, DType::kBF16);
    EXPECT_THAT(to_f32(random.tensor("norm.weight", {17})), Each(1.0f));
    EXPECT_THAT(to_f32(random.tensor("q.bias", {17})), Each(0.0f));
    EXPECT_EQ(random.num_parameters(), 34);
}

TEST_F(RandomCheckpointTest, RefusesWhatIsNoConfig) {
    const auto open = [](const std::string& path) {
        return message_of<FileError>([&] { RandomCheckpoint opened(path, DType::kBF16); });
    };
    EXPECT_THAT(open(path("missing.json")), HasSubstr("missing.json"));
    EXPECT_THAT(open(file("broken.json", "{")), HasSubstr("broken.json"));
}

}  // namespace
}  // namespace lowkey
