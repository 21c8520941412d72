#include "model/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "base/error.h"
#include "tests/io/temporary_folder.h"
#include "tests/model/golden.h"

namespace lowkey {
namespace {

using ::testing::HasSubstr;

class SmallLlama : public ::testing::Test {
protected:
    Golden golden_{"llama-mha"};
};

TEST_F(SmallLlama, RefusesTokensOutsideTheVocabulary) {
    Engine engine = dense_engine(golden_.load(DType::kF32));
    const auto sequence = engine.new_sequence();
    const auto vocab = static_cast<int32_t>(engine.model().config().vocab_size);
    for (const int32_t bad : {-1, vocab, INT32_MAX}) {
        const std::vector<int32_t> ids = {1, bad};
        const SequenceInput input{sequence.get(), ids, true};
        EXPECT_THAT(message_of<UsageError>([&] {
                        static_cast<void>(engine.model().forward({&input, 1}));
                    }),
                    HasSubstr("token id " + std::to_string(bad) + " is outside the vocabulary"));
    }
    EXPECT_EQ(sequence->num_tokens(), 0);
    EXPECT_EQ(engine.usage(*sequence).bytes_allocated, 0);
}

TEST_F(SmallLlama, RefusesSequencesBeyondItsContext) {
    const auto model = Model::load(std::string(LOWKEY_TEST_DATA) + "/models/llama-mha",
                                   {.dtype = DType::kF32, .max_context = 8});
    Engine engine = dense_engine(model);
    const auto sequence = engine.new_sequence();
    const std::vector<int32_t> ids(9, 1);
    const SequenceInput input{sequence.get(), ids, true};
    EXPECT_THAT(message_of<UsageError>([&] {
                    static_cast<void>(model->forward({&input, 1}));
                }),
                HasSubstr("9 tokens do not fit the context of 8"));
    EXPECT_EQ(sequence->num_tokens(), 0);
}

TEST_F(SmallLlama, NothingForNoTokens) {
    Engine engine = dense_engine(golden_.load(DType::kF32));
    const auto sequence = engine.new_sequence();
    const SequenceInput input{sequence.get(), {}, true};
    EXPECT_EQ(engine.model().forward({&input, 1}).size(), 0);
    EXPECT_EQ(engine.model().forward({}).size(), 0);
}

TEST(Loading, TellsOfEveryLayerAndTheOutputHead) {
    std::vector<int64_t> seen;
    int64_t total = 0;
    const auto model = Model::load(std::string(LOWKEY_TEST_DATA) + "/models/llama-mha", {},
                                   [&](int64_t done, int64_t all) {
                                       seen.push_back(done);
                                       total = all;
                                   });
    EXPECT_EQ(total, model->config().num_layers + 1);
    std::vector<int64_t> want(static_cast<size_t>(total));
    std::iota(want.begin(), want.end(), 1);
    EXPECT_EQ(seen, want);
}

TEST_F(SmallLlama, RepeatsToTheBit) {
    Engine engine = dense_engine(golden_.load(DType::kF32));
    const auto ids = golden_.ids("input_ids");
    const auto first = all_logits(engine, ids, 20);
    EXPECT_EQ(all_logits(engine, ids, 20), first);
}

}  // namespace
}  // namespace lowkey
