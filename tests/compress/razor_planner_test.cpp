#include "compress/razor_planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "compress/compose.h"
#include "compress/eigen_planner.h"
#include "compress/retrieval_scores.h"
#include "io/safetensors_checkpoint.h"
#include "tests/compress/golden.h"

namespace lowkey {
namespace {

using ::testing::HasSubstr;

constexpr double kLogits = 3e-4;  // of the reference; see its table of tolerances

/// The razor half of a folder of tests/data/methods.
struct GoldenTokens : test::Golden {
    explicit GoldenTokens(const std::string& name)
        : Golden(name, "razor"), ids_of_decode(ids("decode.ids").front()) {}

    [[nodiscard]] PlanRequest request(Settings settings = {}) const {
        return {model, nullptr, std::move(settings), std::nullopt};
    }
    /// The plan of a case, but for codecs.
    [[nodiscard]] PlanFile plan(const nlohmann::json& c) const {
        const std::string policy = c["policy"];
        if (policy == "h2o") {
            return find_planner("h2o").make(request(
                {{"recent", c["recent"].get<int64_t>()}, {"heavy", c["heavy"].get<int64_t>()}}));
        }
        if (policy == "snapkv") {
            return find_planner("snapkv").make(request({{"capacity", c["capacity"].get<int64_t>()},
                                                        {"observe", c["observe"].get<int64_t>()},
                                                        {"kernel", c["kernel"].get<int64_t>()}}));
        }
        if (policy == "full") {
            return make_razor_plan(request({{"retrieval-heads", all_heads()}}));
        }
        if (c.contains("form"))
            return make_razor_plan(request({{"epsilon", c["alibi_eps"].get<double>()},
                                            {"alibi-bound", c["form"].get<std::string>()}}));
        Settings settings{{"sink", c["sinks"].get<int64_t>()},
                          {"window", c["S0"].get<int64_t>()},
                          {"window-fraction", 1 / c["C"].get<double>()}};
        std::string heads;
        for (const auto& head : c["retrieval_heads"]) {
            heads += (heads.empty() ? "" : ",") + std::to_string(head[0].get<int>()) + ":" +
                     std::to_string(head[1].get<int>());
        }
        settings["retrieval-heads"] = heads.empty() ? "none" : heads;
        if (!c["compensate"].get<bool>()) settings["no-compensation"] = true;
        return make_razor_plan(request(settings));
    }
    [[nodiscard]] std::string all_heads() const {
        std::string heads;
        for (int64_t layer = 0; layer < model->config().num_layers; ++layer) {
            for (int64_t head = 0; head < model->config().num_kv_heads; ++head) {
                heads +=
                    (heads.empty() ? "" : ",") + std::to_string(layer) + ":" + std::to_string(head);
            }
        }
        return heads;
    }
    /// The same times the codecs that the case names.
    [[nodiscard]] PlanFile with_codecs(const nlohmann::json& c,
                                       const CalibrationStats& stats) const {
        PlanFile tokens = plan(c);
        if (!c.contains("keys")) return tokens;
        PlanRequest codecs{model, &stats, {}, std::nullopt};
        codecs.settings = {{"energy-threshold", c["eps"].get<double>()},
                           {"energy", c["energy"].get<std::string>()},
                           {"key-basis", c["keys"].get<std::string>()},
                           {"value-basis", c["values"].get<std::string>()},
                           {"exact-sinks", int64_t{0}}};
        PlanFile whole = compose_plans({tokens, make_eigen_plan(codecs)});
        whole.plan.prefill_attention = PrefillAttention::kExact;
        return whole;
    }
    [[nodiscard]] bool has(const std::string& name) const { return numbers.contains(name); }

    std::vector<int32_t> ids_of_decode;
};

double scale_of(std::span<const float> x) {
    double largest = 1e-30;
    for (const float v : x) largest = std::max<double>(largest, std::abs(v));
    return largest;
}

/// Compensation tokens and positions of every head against the reference, at `when`.
void expect_state(const GoldenTokens& golden, const std::string& name, const std::string& when,
                  const SequenceCache& cache) {
    const ModelConfig& config = golden.model->config();
    const std::string at = name + "." + when;
    for (int64_t layer = 0; layer < config.num_layers; ++layer) {
        for (int64_t h = 0; h < config.num_kv_heads; ++h) {
            SCOPED_TRACE(at + " " + std::to_string(layer) + ":" + std::to_string(h));
            const HeadCache& head = cache.head(layer, h);
            const auto index = static_cast<size_t>(layer * config.num_kv_heads + h);
            if (golden.has(at + ".positions")) {
                const TensorView& view = golden.numbers.tensor(at + ".positions");
                const auto count = static_cast<size_t>(view.shape.back());
                const auto want = view.as<int64_t>().subspan(index * count, count);
                EXPECT_EQ(head.positions(), std::vector<int64_t>(want.begin(), want.end()));
            }
            if (!golden.has(at + ".mean_k") || !head.layout().compensates()) continue;
            const CompensationToken token = head.compensation();
            EXPECT_EQ(token.num_tokens,
                      golden.numbers.tensor(at + ".dropped").as<int64_t>()[index]);
            if (token.num_tokens == 0) continue;
            for (const auto& [tensor, got] :
                 {std::pair(".mean_k", token.key), std::pair(".mean_v", token.value)}) {
                const auto all = golden.numbers.tensor(at + tensor).as<float>();
                const auto d = static_cast<size_t>(config.head_dim);
                for (size_t i = 0; i < d; ++i)
                    ASSERT_NEAR(got[i], all[index * d + i], 1e-5 * scale_of(all));
            }
            if (golden.has(at + ".mean_pos")) {
                EXPECT_NEAR(token.position,
                            golden.numbers.tensor(at + ".mean_pos").as<double>()[index], 1e-6);
            }
        }
    }
}

class GoldenRazor : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenRazor, ScoresAndHeadsAreTheReferences) {
    const GoldenTokens golden(GetParam());
    for (const std::string name : {"scores", "scores_bos"}) {
        const std::vector<int32_t> all = golden.ids(name + ".ids").front();
        const int64_t prefix = std::ssize(all) % 4;
        const int64_t period = std::ssize(all) / 4;
        const std::vector<int32_t> ids(all.begin() + prefix, all.begin() + prefix + period);
        const RetrievalScores scores =
            score_retrieval(*golden.model, ids, 4, {all.begin(), all.begin() + prefix});
        const auto echo = golden.numbers.tensor(name + ".echo").as<double>();
        const auto induction = golden.numbers.tensor(name + ".induction").as<double>();
        size_t i = 0;
        for (size_t layer = 0; layer < scores.echo.size(); ++layer) {
            for (size_t head = 0; head < scores.echo[layer].size(); ++head, ++i) {
                EXPECT_NEAR(scores.echo[layer][head], echo[i], 1e-6);
                EXPECT_NEAR(scores.induction[layer][head], induction[i], 1e-6);
            }
        }
        if (prefix > 0) continue;
        for (const auto& shares : golden.about["settings"]["shares"]) {
            PlanRequest request = golden.request(
                {{"induction", shares[0].get<double>()}, {"echo", shares[1].get<double>()}});
            request.ids = ids;
            const PlanFile file = make_razor_plan(request);
            const std::string label =
                name + " induction " + shares[0].dump() + " echo " + shares[1].dump();
            EXPECT_EQ(file.measured["retrieval_heads"], golden.about["heads"][label]) << label;
        }
    }
}

TEST_P(GoldenRazor, EveryCaseDecodesAsTheReference) {
    const GoldenTokens golden(GetParam());
    const CalibrationStats stats = test::Golden(GetParam()).calibrate();
    for (const auto& [name, c] : golden.about["cases"].items()) {
        SCOPED_TRACE(name);
        const PlanFile file = golden.with_codecs(c, stats);
        const auto n = c["n"].get<int64_t>();
        const auto steps = c["steps"].get<int64_t>();
        const auto want = golden.numbers.tensor(name + ".logits").as<float>();
        const std::span<const int32_t> ids(golden.ids_of_decode);
        // The prompt in slices gives what it gives in one piece.
        for (const int64_t chunk : {int64_t{512}, int64_t{7}}) {
            Engine engine(golden.model, file.plan, {.prefill_chunk = chunk});
            const auto sequence = engine.new_sequence();
            engine.prefill(*sequence, ids.first(static_cast<size_t>(n)), {});
            expect_state(golden, name, "start", *sequence);
            double worst = 0;
            for (int64_t i = 0; i < steps; ++i) {
                const Tensor row = engine.decode(*sequence, ids[static_cast<size_t>(n + i)]);
                for (int64_t j = 0; j < row.size(); ++j) {
                    const float reference = want[static_cast<size_t>(i * row.size() + j)];
                    worst = std::max<double>(
                        worst, std::abs(row.f32()[static_cast<size_t>(j)] - reference));
                }
            }
            EXPECT_LE(worst, kLogits) << "slices of " << chunk;
            expect_state(golden, name, "end", *sequence);
        }
    }
}

TEST_P(GoldenRazor, BoundsAreTheReferences) {
    const GoldenTokens golden(GetParam());
    if (golden.model->config().alibi_slopes.empty()) return;
    for (const auto& [form, name] :
         {std::pair(AlibiBound::kPaper, "paper"), std::pair(AlibiBound::kScaled, "scaled"),
          std::pair(AlibiBound::kRigorous, "rigorous")}) {
        for (const auto& [epsilon, text] : {std::pair(0.01, "0.01"), std::pair(0.001, "0.001")}) {
            const auto want =
                golden.numbers.tensor(std::string("alibi.bound.") + name + "." + text).as<double>();
            size_t i = 0;
            for (const auto& layer : alibi_bounds(*golden.model, form, epsilon)) {
                for (const double bound : layer) {
                    EXPECT_NEAR(bound / want[i], 1, 1e-4) << name << " " << text;
                    ++i;
                }
            }
        }
    }
}

TEST_P(GoldenRazor, AWindowOfAllTokensIsFullAttention) {
    const GoldenTokens golden(GetParam());
    const int64_t n = 203;
    const std::span<const int32_t> ids(golden.ids_of_decode);
    const auto want = golden.numbers.tensor("decode.logits").as<float>();
    PlanRequest request =
        golden.request({{"retrieval-heads", std::string("none")}, {"window", int64_t{235}}});
    for (const PrefillAttention mode : {PrefillAttention::kExact, PrefillAttention::kCompressed}) {
        request.prefill_attention = mode;
        Engine engine(golden.model, make_razor_plan(request).plan);
        const std::vector<float> got = test::logits_of(engine, {ids.begin(), ids.end()}, n);
        for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], kLogits);
    }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenRazor, ::testing::ValuesIn(test::golden_names()),
                         [](const auto& param) { return test::test_name(param.param); });

// One token over and over, without positions: what is dropped is what stays, so the compensation
// token says all.
TEST(Razor, DroppedTwinsAreFullyCompensated) {
    const GoldenTokens golden("mpt");
    // Slopes make tokens differ by distance only to first order of the mean: take them away.
    ModelConfig config = golden.model->config();
    config.alibi_slopes.assign(config.alibi_slopes.size(), 0.0f);
    const auto checkpoint = std::make_shared<const SafetensorsCheckpoint>(golden.folder);
    const auto model =
        std::make_shared<const Model>(config, load_weights(checkpoint, config, DType::kF32),
                                      golden.model->options(), golden.model->rotaries());
    const std::vector<int32_t> ids(230, 5);
    PlanRequest request{model,
                        nullptr,
                        {{"retrieval-heads", std::string("none")},
                         {"window", int64_t{8}},
                         {"window-fraction", 0.0}},
                        std::nullopt};
    Engine razor(model, make_razor_plan(request).plan);
    Engine full(model, CachePlan::dense(config.num_layers, config.num_kv_heads));
    const auto got = test::logits_of(razor, ids, 100);
    const auto want = test::logits_of(full, ids, 100);
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-4);
}

TEST(Razor, RefusesWhatCannotBe) {
    const GoldenTokens golden("qwen2");
    const auto refusal = [&](const Settings& settings) -> std::string {
        try {
            static_cast<void>(make_razor_plan(golden.request(settings)));
        } catch (const Error& e) {
            return e.what();
        }
        return "nothing was refused";
    };
    EXPECT_THAT(refusal({{"retrieval-heads", std::string("0:9")}}), HasSubstr("'0:9'"));
    EXPECT_THAT(refusal({{"retrieval-heads", std::string("0-1")}}), HasSubstr("'0-1'"));
    EXPECT_THAT(refusal({{"retrieval-heads", std::string("0:1,")}}), HasSubstr("''"));
    EXPECT_THAT(refusal({{"retrieval-heads", std::string("")}}), HasSubstr("''"));
    EXPECT_THAT(refusal({{"induction", 1.5}}), HasSubstr("1.5 is out of range: --induction"));
    EXPECT_THAT(refusal({{"echo", -0.1}}), HasSubstr("-0.1 is out of range: --echo"));
    EXPECT_THAT(refusal({{"window-fraction", 2.0}}), HasSubstr("--window-fraction"));
    EXPECT_THAT(refusal({{"window", int64_t{0}}}), HasSubstr("--window"));
    EXPECT_THAT(refusal({{"sink", int64_t{65}}}), HasSubstr("--sink"));
    EXPECT_THAT(refusal({{"random-tokens", int64_t{100000}}}), HasSubstr("--random-tokens"));
    EXPECT_THAT(refusal({{"repeats", int64_t{1}}}), HasSubstr("--repeats"));
    EXPECT_THAT(refusal({{"alibi-bound", std::string("paper")}}), HasSubstr("no ALiBi"));
    EXPECT_THAT(refusal({{"keep", 0.5}}), HasSubstr("--keep"));
}

TEST(Razor, RandomHeadsAreAsManyAsAsked) {
    const GoldenTokens golden("llama-mha");
    const PlanFile file =
        make_razor_plan(golden.request({{"random-heads", int64_t{3}}, {"seed", int64_t{7}}}));
    EXPECT_EQ(file.measured["retrieval_heads"].size(), 3);
    int whole = 0;
    for (const auto& layer : file.plan.layers) {
        for (const HeadPlan& head : layer) whole += head.policy.name == "all" ? 1 : 0;
    }
    EXPECT_EQ(whole, 3);
}

TEST(Compose, RefusesTwoOfAKind) {
    const GoldenTokens golden("llama-mha");
    const PlanFile a = find_planner("streaming").make(golden.request());
    EXPECT_THROW(compose_plans({a, a}), UsageError);
    PlanFile other = a;
    other.fingerprint = "another";
    EXPECT_THROW(compose_plans({a, other}), UsageError);
}

}  // namespace
}  // namespace lowkey
