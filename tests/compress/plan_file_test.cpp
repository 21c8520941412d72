#include "compress/plan_file.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "compress/compose.h"
#include "compress/eigen_planner.h"
#include "tests/compress/golden.h"
#include "tests/io/temporary_folder.h"

namespace lowkey {
namespace {

using test::Golden;

class PlanFiles : public TemporaryFolder {
protected:
    /// A plan of one head, with a member at every level.
    [[nodiscard]] static nlohmann::json one_head() {
        const nlohmann::json codec = {{"codec", "dense"}, {"settings", {{"dtype", "bf16"}}}};
        const nlohmann::json head = {
            {"policy", {{"name", "window"}, {"settings", {{"window", 100}}}}},
            {"exact_sinks", 0},
            {"key", codec},
            {"value", codec}};
        const nlohmann::json part = {{"method", "razor"}, {"settings", {{"echo", 0.01}}}};
        return {{"version", 1},
                {"method", "razor"},
                {"fingerprint", "f"},
                {"head_dim", 16},
                {"prefill_attention", "exact"},
                {"settings", {{"parts", {part}}}},
                {"measured", nlohmann::json::object()},
                {"layers", {{{"kv_heads", {head}}}}}};
    }
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
        const auto& want = file.plan.layers[1][1].key.map.tensors.at("encode");
        const auto& got = back.plan.layers[1][1].key.map.tensors.at("encode");
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
             {"version", 3},
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

// Every level of the JSON; what is not known would be lost, and the plan be another.
TEST_F(PlanFiles, RefusesUnknownNamesAtEveryLevel) {
    const nlohmann::json good = one_head();
    ASSERT_EQ(refusal(good), "");
    for (const char* place : {"", "/layers/0", "/layers/0/kv_heads/0",
                              "/layers/0/kv_heads/0/policy", "/layers/0/kv_heads/0/policy/settings",
                              "/layers/0/kv_heads/0/key", "/layers/0/kv_heads/0/key/settings",
                              "/layers/0/kv_heads/0/value", "/measured", "/settings/parts/0"}) {
        nlohmann::json bad = good;
        bad[nlohmann::json::json_pointer(place)]["frobnicate"] = 1;
        EXPECT_NE(refusal(bad).find("'frobnicate'"), std::string::npos)
            << place << ": " << refusal(bad);
    }
    const std::vector<std::pair<const char*, nlohmann::json>> wrong = {
        {"/version", 0},
        {"/version", 3},
        {"/layers/0/kv_heads/0/policy/name", "most"},
        {"/layers/0/kv_heads/0/key/codec", "wavelet"},
        {"/layers/0/kv_heads/0/key/settings", {{"dtype", "i4"}}},
        {"/layers/0/kv_heads/0/exact_sinks", 65},
        {"/layers/0/kv_heads/0/policy",
         {{"name", "window"}, {"settings", {{"window", int64_t{1} << 60}}}}},
        {"/layers/0/kv_heads/0/policy",
         {{"name", "prompt_selection"}, {"settings", {{"capacity", 64}, {"kernel", 65536}}}}},
        {"/head_dim", 1 << 20},
        {"/settings", {{"keep", {0.6}}}},
    };
    for (const auto& [place, value] : wrong) {
        nlohmann::json bad = good;
        bad[nlohmann::json::json_pointer(place)] = value;
        EXPECT_NE(refusal(bad), "") << place;
    }
}

TEST_F(PlanFiles, RefusesLayersThatDiffer) {
    nlohmann::json bad = one_head();
    bad["layers"].push_back(bad["layers"][0]);
    ASSERT_EQ(refusal(bad), "");
    bad["layers"][1]["kv_heads"].push_back(bad["layers"][1]["kv_heads"][0]);
    EXPECT_NE(refusal(bad).find("a layer of 2 KV heads, the first has 1"), std::string::npos)
        << refusal(bad);
}

TEST_F(PlanFiles, RefusesKeysThatAreThereTwice) {
    std::string text = one_head().dump();
    text.insert(1, R"("version":1,)");
    write_safetensors(path("bad"), {}, {{"lowkey.plan", text}});
    EXPECT_NE(message_of<FileError>([&] { read_plan(path("bad")); }).find("'version' is there"),
              std::string::npos);
}

TEST_F(PlanFiles, RefusesTensorsThatNobodyReadsOrThatAreNotFinite) {
    const Golden golden("qwen2");
    const CalibrationStats stats = golden.calibrate();
    PlanFile file =
        make_eigen_plan({golden.model, &stats, {{"energy-threshold", 0.9}}, std::nullopt});
    CodecSpec& key = file.plan.layers[0][0].key;
    Tensor broken = Tensor::convert(key.map.tensors.at("encode")->view(), DType::kF32);
    broken.f32()[3] = std::numeric_limits<float>::quiet_NaN();
    const auto whole = key.map.tensors.at("encode");
    key.map.tensors["encode"] = std::make_shared<const Tensor>(std::move(broken));
    write_plan(path("a"), file);
    EXPECT_NE(message_of<FileError>([&] { read_plan(path("a")); }).find("not finite"),
              std::string::npos);
    write_safetensors(path("bad"), {{"spare", whole->view()}},
                      {{"lowkey.plan", one_head().dump()}});
    EXPECT_NE(message_of<FileError>([&] { read_plan(path("bad")); }).find("'spare'"),
              std::string::npos);
}

TEST_F(PlanFiles, MeasurementsAreOfThePlanTheyWereMadeOn) {
    const Golden golden("qwen2");
    const CalibrationStats stats = golden.calibrate();
    const PlanFile file =
        make_eigen_plan({golden.model, &stats, {{"energy-threshold", 0.9}}, std::nullopt});
    ASSERT_TRUE(file.measured.contains("layers"));
    write_plan(path("a"), file);
    const PlanFile back = read_plan(path("a"));
    EXPECT_EQ(back.measured, file.measured);
    EXPECT_EQ(back.notice, "");

    PlanFile edited = file;
    edited.plan.layers[0][0].exact_sinks = 9;
    write_plan(path("edited"), edited);
    EXPECT_TRUE(read_plan(path("edited")).measured.empty()) << "left out by the writer";

    nlohmann::json document = plan_to_json(file);
    document["layers"][0]["kv_heads"][0]["exact_sinks"] = 9;
    const SafetensorsFile tensors(path("a"));
    write_safetensors(path("bad"), tensors.tensors(), {{"lowkey.plan", document.dump()}});
    const PlanFile foreign = read_plan(path("bad"));
    EXPECT_TRUE(foreign.measured.empty()) << "and by the reader";
    EXPECT_NE(foreign.notice.find("another plan"), std::string::npos) << foreign.notice;
    document.erase("measured_on");
    write_safetensors(path("bad"), tensors.tensors(), {{"lowkey.plan", document.dump()}});
    EXPECT_TRUE(read_plan(path("bad")).measured.empty());

    EXPECT_TRUE(compose_plans({file}).measured.empty()) << "a new plan";
    EXPECT_EQ(cache_hash(back), cache_hash(file));
    EXPECT_NE(cache_hash(edited), cache_hash(file));
}

TEST_F(PlanFiles, TextThatIsNotUtf8IsOurError) {
    write_safetensors(path("a"), {}, {{"lowkey.plan", one_head().dump()}});
    PlanFile file = read_plan(path("a"));
    file.method = "\xff";
    EXPECT_NE(message_of<UsageError>([&] { write_plan(path("b"), file); }).find("UTF-8"),
              std::string::npos);
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
