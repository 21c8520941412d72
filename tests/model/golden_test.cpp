// Every family against the reference implementation: float32 results of tests/data/models.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <map>

#include "engine/engine.h"
#include "io/json_reader.h"
#include "tests/model/golden.h"

namespace lowkey {
namespace {

// The reference's own rounding is below 3e-5 in these models, and every feature's absence moves
// logits by more than 2e-4.
constexpr double kLogitsTolerance = 1e-4;
constexpr double kInternalsTolerance = 2e-4;

class GoldenModel : public ::testing::TestWithParam<std::string> {
protected:
    Golden golden_{GetParam()};
};

/// Keeps everything a forward pass shows, in the golden files' names and order:
/// [heads, num_tokens, head_dim].
class Recorder : public ForwardObserver {
public:
    explicit Recorder(const ModelConfig& config) : config_(config) {}
    void on_projected(const ObservedTokens& seen) override {
        keep("q", seen.layer, seen.q, config_.num_heads, seen.num_tokens, seen.q_stride);
        keep("k", seen.layer, seen.k, config_.num_kv_heads, seen.num_tokens, seen.kv_stride);
        keep("v", seen.layer, seen.v, config_.num_kv_heads, seen.num_tokens, seen.kv_stride);
    }
    void on_rotated(const ObservedTokens& seen) override {
        keep("q_rot", seen.layer, seen.q, config_.num_heads, seen.num_tokens, seen.q_stride);
        keep("k_rot", seen.layer, seen.k, config_.num_kv_heads, seen.num_tokens, seen.kv_stride);
    }
    void on_attention(const ObservedTokens& seen) override {
        keep("attn", seen.layer, seen.out, config_.num_heads, seen.num_tokens, seen.out_stride);
    }
    void on_layer_output(int64_t layer, const float* hidden, int64_t num_tokens) override {
        kept["hidden." + std::to_string(layer + 1)] = {hidden,
                                                       hidden + num_tokens * config_.hidden_size};
    }

    std::map<std::string, std::vector<float>> kept;

private:
    void keep(const std::string& name, int64_t layer, const float* x, int64_t heads,
              int64_t num_tokens, int64_t stride) {
        std::vector<float>& out = kept[name + "." + std::to_string(layer)];
        for (int64_t head = 0; head < heads; ++head) {
            for (int64_t t = 0; t < num_tokens; ++t) {
                const float* from = x + t * stride + head * config_.head_dim;
                out.insert(out.end(), from, from + config_.head_dim);
            }
        }
    }
    const ModelConfig& config_;
};

TEST_P(GoldenModel, LogitsOfOnePrefillEqualTheReference) {
    Engine engine = dense_engine(golden_.load(DType::kF32));
    const auto ids = golden_.ids("input_ids");
    const auto logits = all_logits(engine, ids, ids.size());
    const double worst = difference(logits, golden_.f32("logits")).max;
    EXPECT_LE(worst, kLogitsTolerance);
    std::printf("largest logit difference: %.1e\n", worst);
}

TEST_P(GoldenModel, LogitsOfAnExactPrefillEqualTheReference) {
    const auto model = golden_.load(DType::kF32);
    CachePlan plan = CachePlan::dense(model->config().num_layers, model->config().num_kv_heads);
    plan.prefill_attention = PrefillAttention::kExact;
    Engine engine(model, plan);
    const auto ids = golden_.ids("input_ids");
    EXPECT_LE(difference(all_logits(engine, ids, ids.size()), golden_.f32("logits")).max,
              kLogitsTolerance);
    EXPECT_LE(difference(all_logits(engine, ids, 5), golden_.decode_logits()).max,
              kLogitsTolerance);
}

TEST_P(GoldenModel, LogitsOfDecodingEqualTheReference) {
    Engine engine = dense_engine(golden_.load(DType::kF32));
    const auto logits = all_logits(engine, golden_.ids("input_ids"), 5);
    EXPECT_LE(difference(logits, golden_.decode_logits()).max, kLogitsTolerance);
}

TEST_P(GoldenModel, LogitsOfAPrefillInChunksEqualTheReference) {
    Engine engine = dense_engine(golden_.load(DType::kF32), {.prefill_chunk = 7});
    const auto ids = golden_.ids("input_ids");
    const auto logits = all_logits(engine, ids, ids.size());
    EXPECT_LE(difference(logits, golden_.f32("logits")).max, kLogitsTolerance);
}

TEST_P(GoldenModel, InternalsEqualTheReference) {
    Engine engine = dense_engine(golden_.load(DType::kF32));
    const Model& model = engine.model();
    const auto sequence = engine.new_sequence();
    const auto ids = golden_.ids("input_ids");
    const SequenceInput input{sequence.get(), ids, true};
    Recorder recorder(model.config());
    recorder.kept["hidden.0"] = to_f32(model.embed({&input, 1}).view());
    static_cast<void>(model.forward({&input, 1}, &recorder));
    EXPECT_EQ(sequence->num_tokens(), static_cast<int64_t>(ids.size()));
    size_t compared = 0;
    for (const auto& [name, values] : recorder.kept) {
        if (!golden_.has(name)) {  // rotated vectors of models without rotation
            EXPECT_TRUE(name.find("_rot") != std::string::npos && !model.rotates()) << name;
            continue;
        }
        EXPECT_LE(difference(values, golden_.f32(name)).max, kInternalsTolerance) << name;
        ++compared;
    }
    const auto per_layer = static_cast<size_t>(!model.rotates() ? 5 : 7);
    EXPECT_EQ(compared, per_layer * static_cast<size_t>(model.config().num_layers) + 1);
}

TEST_P(GoldenModel, GreedyContinuationEqualsTheReference) {
    Engine engine = dense_engine(golden_.load(DType::kF32));
    const auto sequence = engine.new_sequence();
    const auto expected = golden_.ids("greedy");
    const auto expected_logits = golden_.f32("greedy_logits");
    const auto vocab = static_cast<size_t>(engine.model().config().vocab_size);
    Tensor logits = engine.prefill_logits(*sequence, golden_.ids("input_ids"));
    for (size_t t = 0; t < expected.size(); ++t) {
        const auto row = logits.f32();
        EXPECT_LE(difference(row, expected_logits.subspan(t * vocab, vocab)).max, kLogitsTolerance)
            << t;
        const auto best = std::max_element(row.begin(), row.end()) - row.begin();
        ASSERT_EQ(best, expected[t]) << t;
        if (t + 1 < expected.size()) logits = engine.decode(*sequence, expected[t]);
    }
}

TEST_P(GoldenModel, Bf16StaysAsNearAsTheReferencesOwn) {
    const auto tolerances =
        read_json_file(std::string(LOWKEY_TEST_DATA) + "/models/tolerances.json");
    const auto& own = tolerances.at(GetParam()).at("bf16_vs_f32");
    Engine engine = dense_engine(golden_.load(DType::kBF16));
    const auto ids = golden_.ids("input_ids");
    for (const size_t prefill : {ids.size(), size_t{5}}) {
        const auto want = prefill == 5 ? golden_.decode_logits() : golden_.f32("logits");
        const Difference d = difference(all_logits(engine, ids, prefill), want);
        EXPECT_LE(d.max, 2 * own.at("max").get<double>()) << prefill;
        EXPECT_LE(d.mean, 2 * own.at("mean").get<double>()) << prefill;
    }
}

TEST_P(GoldenModel, BatchGivesWhatEachSequenceGivesAlone) {
    Engine engine = dense_engine(golden_.load(DType::kF32), {.kv_budget_bytes = int64_t{64} << 20});
    const Model& model = engine.model();
    const auto first = golden_.ids("input_ids");
    const std::vector<int32_t> second(first.rbegin(), first.rbegin() + 21);
    const auto run = [&](const std::vector<SequenceInput>& batch) {
        return to_f32(model.forward(batch).view());
    };
    // A prompt of each; then a token of the first beside more of the second's prompt.
    const std::span<const int32_t> a(first);
    const std::span<const int32_t> b(second);
    const auto seq_a = engine.new_sequence();
    const auto seq_b = engine.new_sequence();
    std::vector<float> alone_1 = run({{seq_a.get(), a.first(30), true}});
    const auto more_1 = run({{seq_b.get(), b.first(9), true}});
    alone_1.insert(alone_1.end(), more_1.begin(), more_1.end());
    std::vector<float> alone_2 = run({{seq_a.get(), a.subspan(30, 1), false}});
    const auto more_2 = run({{seq_b.get(), b.subspan(9), true}});
    alone_2.insert(alone_2.end(), more_2.begin(), more_2.end());

    const auto both_a = engine.new_sequence();
    const auto both_b = engine.new_sequence();
    const auto together_1 =
        run({{both_a.get(), a.first(30), true}, {both_b.get(), b.first(9), true}});
    const auto together_2 =
        run({{both_a.get(), a.subspan(30, 1), false}, {both_b.get(), b.subspan(9), true}});
    // Products of other shapes add in another order, no more.
    EXPECT_LE(difference(together_1, alone_1).max, kInternalsTolerance / 10);
    EXPECT_LE(difference(together_2, alone_2).max, kInternalsTolerance / 10);
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenModel, ::testing::ValuesIn(Golden::names()),
                         [](const auto& param) {
                             std::string name = param.param;
                             std::replace(name.begin(), name.end(), '-', '_');
                             return name;
                         });

}  // namespace
}  // namespace lowkey
