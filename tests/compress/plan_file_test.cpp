#include "compress/plan_file.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "compress/eigen_planner.h"
#include "tests/compress/golden.h"
#include "tests/io/temporary_folder.h"

namespace lowkey {
namespace {

using test::Golden;

class PlanFiles : public TemporaryFolder {
protected:
    /// The message of the error that reading a plan with this JSON gives.
    [[nodiscard]] std::string refusal(const nlohmann::json& document) const {
        write_safetensors(path("bad"), {}, {{"lowkey.plan", document.dump()}});
        try {
            static_cast<void>(read_plan(path("bad")));
        } catch (const Error& e) {
            return e.what();
        }
        return "";
    }
};

TEST_F(PlanFiles, ComesBackAsItWas) {
    const Golden golden("qwen2");
    const CalibrationStats stats = golden.calibrate();
    for (const char* basis : {"keys-shared", "keys-weighted", "keys-attended"}) {
        const PlanFile file =
            make_eigen_plan({golden.model,
                             &stats,
                             {{"energy-threshold", 0.9}, {"key-basis", std::string(basis)}},
                             PrefillAttention::kExact});
        write_plan(path("a"), file);
        const PlanFile back = read_plan(path("a"));
        EXPECT_EQ(plan_to_json(back), plan_to_json(file));
        EXPECT_NO_THROW(check_plan_fits(back, path("a"), *golden.model));
        const auto& want = file.plan.layers[1][1].key.tensors.at("encode");
        const auto& got = back.plan.layers[1][1].key.tensors.at("encode");
        EXPECT_TRUE(std::equal(want->f32().begin(), want->f32().end(), got->f32().begin()));
    }
}

TEST_F(PlanFiles, RefusesAnotherModel) {
    const Golden qwen("qwen2");
    const Golden llama("llama-gqa-tied");
    const Golden mha("llama-mha");
    const CalibrationStats stats = qwen.calibrate();
    const PlanFile file =
        make_eigen_plan({qwen.model, &stats, {{"energy-threshold", 0.9}}, std::nullopt});
    EXPECT_THROW(check_plan_fits(file, "a.plan", *llama.model), UsageError)
        << "same shape, other weights";
    try {
        check_plan_fits(file, "a.plan", *mha.model);
        FAIL();
    } catch (const UsageError& e) {
        EXPECT_NE(std::string(e.what()).find("a.plan has 2 KV heads in layer 0, the model 4"),
                  std::string::npos)
            << e.what();
    }
}

TEST_F(PlanFiles, RefusesWhatIsNoPlan) {
    write_safetensors(path("other"), {}, {{"format", "pt"}});
    EXPECT_THROW(static_cast<void>(read_plan(path("other"))), FileError);
    const nlohmann::json head = {{"policy", {{"name", "all"}}},
                                 {"exact_sinks", 0},
                                 {"key", {{"codec", "dense"}}},
                                 {"value", {{"codec", "dense"}}}};
    const nlohmann::json good = {{"version", 1},
                                 {"method", "eigen"},
                                 {"fingerprint", "f"},
                                 {"head_dim", 16},
                                 {"prefill_attention", "exact"},
                                 {"layers", {{{"kv_heads", {head}}}}}};
    EXPECT_EQ(refusal(good), "");
    for (const auto& [key, value] : std::vector<std::pair<std::string, nlohmann::json>>{
             {"version", 2},
             {"version", "one"},
             {"prefill_attention", "maybe"},
             {"head_dim", 0},
             {"layers", nlohmann::json::array()},
             {"layers", 5},
             {"layers", {{{"kv_heads", nlohmann::json::array()}}}},
             {"layers", {{{"kv_heads", {1}}}}},
             {"fingerprint", nullptr},
         }) {
        nlohmann::json bad = good;
        bad[key] = value;
        EXPECT_NE(refusal(bad).find(path("bad")), std::string::npos)
            << key << " " << value << ": " << refusal(bad);
    }
    nlohmann::json bad = good;
    bad["layers"][0]["kv_heads"][0]["key"]["tensors"] = {{"encode", "not.there"}};
    EXPECT_NE(refusal(bad).find("not.there"), std::string::npos);
    bad = good;
    bad["layers"][0]["kv_heads"][0]["key"]["settings"] = {{"rank", nlohmann::json::array()}};
    EXPECT_NE(refusal(bad).find("rank"), std::string::npos);
}

TEST_F(PlanFiles, ReportedBytesAreThePools) {
    const Golden golden("qwen2");
    const CalibrationStats stats = golden.calibrate();
    PlanFile file =
        make_eigen_plan({golden.model, &stats, {{"energy-threshold", 0.9}}, std::nullopt});
    const auto shape = golden.model->cache_shape();
    Engine engine(golden.model, file.plan);
    const auto sequence = engine.new_sequence();
    const std::vector<int32_t> ids(300, 5);
    engine.prefill(*sequence, ids, nullptr);
    EXPECT_EQ(engine.usage(*sequence).bytes_allocated, engine.layout().bytes_for(300));
    EXPECT_EQ(engine.usage(*sequence).bytes_full, plan_bytes(file, 300).full);
}

}  // namespace
}  // namespace lowkey
