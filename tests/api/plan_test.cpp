#include "lowkey/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "compress/plan_file.h"
#include "lowkey/error.h"
#include "lowkey/session.h"
#include "tests/cli/program.h"

namespace lowkey {
namespace {

using ::testing::HasSubstr;

/// Keeps the first `rank` of 16 coordinates.
api::CodecSpec first_coordinates(int64_t rank) {
    std::vector<float> encode(static_cast<size_t>(16 * rank));
    std::vector<float> decode(static_cast<size_t>(16 * rank));
    for (int64_t i = 0; i < rank; ++i) {
        encode[static_cast<size_t>(i * rank + i)] = 1;
        decode[static_cast<size_t>(i * 16 + i)] = 1;
    }
    return {
        .map = {"linear", {}, {{"encode", {16, rank, encode}}, {"decode", {rank, 16, decode}}}}};
}

class ApiPlan : public Program {
protected:
    const std::string tiny_path_ = std::string(LOWKEY_TEST_DATA) + "/models/llama-gqa-tied";
    const api::Model tiny_ = api::Model::load(tiny_path_);
};

TEST_F(ApiPlan, EveryHeadIsVisibleAndSettable) {
    api::Plan plan = api::Plan::uncompressed(tiny_);
    EXPECT_EQ(plan.num_layers(), 2);
    EXPECT_EQ(plan.num_kv_heads(), 2);
    EXPECT_EQ(plan.head_dim(), 16);
    EXPECT_EQ(plan.head(1, 1).policy.name, "all");
    EXPECT_EQ(plan.head(1, 1).key.map.name, "identity");
    plan.set_head(
        1, 0,
        {.policy = {"window", {{"window", 40}}}, .value = first_coordinates(4), .exact_sinks = 4});
    plan.set_prefill_attention(PrefillAttention::kExact);
    plan.set_method("mine");
    plan.record("rank", 4);
    plan.check(tiny_);

    plan.save(path("mine.plan"));
    const api::Plan loaded = api::Plan::load(path("mine.plan"));
    EXPECT_EQ(loaded.to_json(), plan.to_json());
    EXPECT_EQ(loaded.method(), "mine");
    EXPECT_EQ(loaded.fingerprint(), tiny_.info().fingerprint);
    EXPECT_EQ(loaded.prefill_attention(), PrefillAttention::kExact);
    const api::HeadPlan head = loaded.head(1, 0);
    EXPECT_EQ(std::get<int64_t>(head.policy.settings.at("window")), 40);
    EXPECT_EQ(head.exact_sinks, 4);
    const api::Matrix& encode = head.value.map.matrices.at("encode");
    EXPECT_EQ(encode.rows(), 16);
    EXPECT_EQ(encode.columns(), 4);
    EXPECT_EQ(encode.values()[5], 1);
    EXPECT_EQ(loaded.head(0, 0).policy.name, "all");
    nlohmann::json inspected = json_of({"inspect", path("mine.plan")});
    inspected.erase("cache");    // computed at a context length, not part of the plan
    inspected.erase("command");  // that makes such a plan again
    EXPECT_EQ(inspected, nlohmann::json::parse(plan.to_json())) << "the program reads the same";
}

TEST_F(ApiPlan, CopiesAreIndependent) {
    const api::Plan plan = api::Plan::uncompressed(tiny_);
    api::Plan copy = plan;
    copy.set_head(0, 0, {.policy = {"window", {{"window", 40}}}});
    EXPECT_EQ(plan.head(0, 0).policy.name, "all");
    copy = plan;
    EXPECT_EQ(copy.head(0, 0).policy.name, "all");
}

TEST_F(ApiPlan, MakesWhatTheProgramMakes) {
    const api::Plan plan = api::Plan::make(
        tiny_, "razor",
        {.settings = {{"random-tokens", 20}, {"window", 32}, {"no-compensation", true}}});
    EXPECT_EQ(run({"plan", tiny_path_, "--method", "razor", "--random-tokens", "20", "--window",
                   "32", "--no-compensation", "-o", path("razor.plan")})
                  .exit_code,
              0);
    EXPECT_EQ(api::Plan::load(path("razor.plan")).to_json(), plan.to_json());
    bool razor = false;
    for (const api::PlannerInfo& planner : api::planners()) razor |= planner.name == "razor";
    EXPECT_TRUE(razor);
}

TEST_F(ApiPlan, AHeadThatIsSetForgetsWhatWasMeasured) {
    const api::Plan made =
        api::Plan::make(tiny_, "razor", {.settings = {{"random-tokens", 20}, {"window", 32}}});
    const auto measured = [](const api::Plan& plan) {
        return nlohmann::json::parse(plan.to_json()).at("measured");
    };
    EXPECT_TRUE(measured(made).contains("induction"));
    api::Plan changed = made;
    changed.set_head(1, 1, {.exact_sinks = 2});
    EXPECT_EQ(changed.head(1, 1).policy.name, "all");
    EXPECT_EQ(changed.head(1, 1).exact_sinks, 2);
    EXPECT_TRUE(measured(changed).empty());
    // Also where the old head comes back: nobody measured that.
    changed.set_head(1, 1, made.head(1, 1));
    EXPECT_TRUE(measured(changed).empty());
    EXPECT_TRUE(measured(made).contains("induction")) << "a copy is independent";
}

TEST_F(ApiPlan, ComposesTokensAndCodecs) {
    api::Plan codecs = api::Plan::uncompressed(tiny_);
    codecs.set_head(0, 1, {.value = first_coordinates(8)});
    const api::Plan tokens = api::Plan::make(tiny_, "streaming", {.settings = {{"window", 64}}});
    const std::vector<api::Plan> parts = {tokens, codecs};
    const api::Plan both = api::Plan::compose(parts);
    EXPECT_EQ(both.head(0, 1).policy.name, "window");
    EXPECT_EQ(both.head(0, 1).value.map.name, "linear");
    const std::vector<api::Plan> twice = {tokens, tokens};
    EXPECT_THROW(api::Plan::compose(twice), UsageError);
    EXPECT_THROW(api::Plan::compose({}), UsageError);
}

TEST_F(ApiPlan, SaysHowManyBytes) {
    api::Plan plan = api::Plan::uncompressed(tiny_);
    EXPECT_EQ(plan.bytes(4096).full, 4096 * tiny_.info().kv_bytes_per_token);
    EXPECT_EQ(plan.bytes(4096).allocated, plan.bytes(4096).full);
    plan.set_head(0, 0, {.value = first_coordinates(4)});
    EXPECT_LT(plan.bytes(4096).allocated, plan.bytes(4096).full);
    EXPECT_EQ(plan.bytes(0).allocated, 0);
    EXPECT_THROW(static_cast<void>(plan.bytes(-1)), UsageError);
}

TEST_F(ApiPlan, RefusesWhatIsNotThere) {
    api::Plan plan = api::Plan::uncompressed(tiny_);
    EXPECT_THAT(message_of<UsageError>([&] { static_cast<void>(plan.head(2, 0)); }),
                HasSubstr("layer is 2"));
    EXPECT_THROW(static_cast<void>(plan.head(0, -1)), UsageError);
    EXPECT_THROW(plan.set_head(0, 2, {}), UsageError);
    EXPECT_THROW(api::Plan::load(path("none.plan")), FileError);
    EXPECT_THROW(api::Plan::load(file("text.plan", "no plan")), FileError);
    EXPECT_THAT(message_of<UsageError>([&] { api::Plan::make(tiny_, "magic"); }),
                HasSubstr("eigen"));
    EXPECT_THROW(api::Plan::make(tiny_, "streaming", {.settings = {{"windw", 3}}}), UsageError);
    EXPECT_THROW(api::Plan::make(tiny_, "razor", {.ids = {1, 999}}), UsageError);
    EXPECT_THROW(api::Plan::make(tiny_, "eigen", {.settings = {{"keep", 0.5}}}), UsageError)
        << "without statistics";
    EXPECT_THROW(api::Matrix(2, 3, std::vector<float>(5)), UsageError);
    EXPECT_THROW(api::Matrix(0, 3, {}), UsageError);
}

TEST_F(ApiPlan, RefusesHeadsThatNoModelCanRun) {
    const auto refused = [&](const api::HeadPlan& head, auto&& expect) {
        api::Plan plan = api::Plan::uncompressed(tiny_);
        plan.set_head(1, 0, head);
        expect([&] { plan.check(tiny_); });
        expect([&] { plan.save(path("bad.plan")); });
        expect([&] { api::Session session(tiny_, plan); });
        EXPECT_EQ(num_files(), 0) << "not even a part";
    };
    const auto usage = [](auto&& call) {
        EXPECT_THAT(message_of<UsageError>(call), HasSubstr("layer 1, KV head 0"));
    };
    const auto unsupported = [](auto&& call) {
        EXPECT_THAT(message_of<UnsupportedError>(call), HasSubstr("layer 1, KV head 0"));
    };
    refused({.policy = {"clairvoyance"}}, unsupported);
    refused({.policy = {"window", {{"window", "far"}}}}, usage);
    refused({.policy = {"window"}}, usage);
    refused({.key = {.map = {"zip"}}}, unsupported);
    refused({.key = {.store = {"zip"}}}, unsupported);
    refused({.value = {.map = {"linear"}}}, usage);
    refused({.value = {.map = {"linear",
                               {},
                               {{"encode", {3, 2, std::vector<float>(6)}},
                                {"decode", {2, 3, std::vector<float>(6)}}}}}},
            usage);
    refused({.exact_sinks = 65}, usage);
    refused({.value = first_coordinates(8), .exact_recent = 4097}, usage);
}

TEST_F(ApiPlan, RefusesPlansOfAnotherModel) {
    const api::Model other = api::Model::load(std::string(LOWKEY_TEST_DATA) + "/models/llama-mha");
    const api::Plan plan = api::Plan::uncompressed(other);
    EXPECT_THAT(message_of<UsageError>([&] { plan.check(tiny_); }), HasSubstr("another model"));
    EXPECT_THROW(api::Session(tiny_, plan), UsageError);
}

}  // namespace
}  // namespace lowkey
