#include "lowkey/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <thread>

#include "engine/generation.h"
#include "kvcache/page_pool.h"
#include "lowkey/error.h"
#include "model/model.h"
#include "tests/cli/program.h"

namespace lowkey {
namespace {

using ::testing::HasSubstr;

/// `count` ids of a vocabulary of 224.
std::vector<int32_t> some_ids(int64_t count) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>(3 + i * 37 % 220));
    return ids;
}

class ApiSession : public Program {
protected:
    const std::string tiny_path_ = std::string(LOWKEY_TEST_DATA) + "/models/llama-gqa-tied";
    const api::Model tiny_ =
        api::Model::load(tiny_path_, {.dtype = api::Precision::kF32, .max_context = 1000});
    const int64_t heads_ = tiny_.info().num_layers * tiny_.info().num_kv_heads;
};

std::vector<float> to_vector(const Tensor& tensor) {
    return {tensor.f32().begin(), tensor.f32().end()};
}

TEST_F(ApiSession, GivesTheEnginesLogits) {
    const auto model = Model::load(tiny_path_, {.dtype = DType::kF32, .max_context = 1000});
    Engine engine(model, CachePlan::dense(2, 2));
    const auto sequence = engine.new_sequence();
    api::Session session(tiny_);
    const std::vector<int32_t> ids = some_ids(40);
    EXPECT_EQ(session.prefill(ids), to_vector(engine.prefill_logits(*sequence, ids)));
    EXPECT_EQ(session.decode(5), to_vector(engine.decode(*sequence, 5)));
    EXPECT_EQ(session.num_tokens(), 41);
    EXPECT_EQ(session.usage().bytes_allocated, engine.usage(*sequence).bytes_allocated);
    EXPECT_EQ(session.usage().bytes_full, 41 * tiny_.info().kv_bytes_per_token);
    EXPECT_EQ(session.usage().peak_bytes, engine.usage(*sequence).peak_bytes);
    EXPECT_EQ(session.usage().tokens, 41);
}

TEST_F(ApiSession, TwoInTwoThreadsGiveWhatEachGivesAlone) {
    const api::Model model = api::Model::load("small");
    const std::vector<std::string> prompts = {"Once upon a time", "The old captain said"};
    const auto generate = [&](const std::string& prompt) {
        api::Session session(model);
        api::GenerationOptions options;
        options.max_new_tokens = 48;
        return session.generate(prompt, options).ids;
    };
    const std::vector<std::vector<int32_t>> alone = {generate(prompts[0]), generate(prompts[1])};
    std::vector<std::vector<int32_t>> together(2);
    {
        std::vector<std::jthread> threads;
        for (size_t i = 0; i < 2; ++i)
            threads.emplace_back([&, i] { together[i] = generate(prompts[i]); });
    }
    EXPECT_EQ(together, alone);
}

TEST_F(ApiSession, GeneratesAsTheProgramDoes) {
    const api::Model model = api::Model::load("small");
    const api::Plan plan = api::Plan::make(model, "streaming", {.settings = {{"window", 300}}});
    plan.save(path("streaming.plan"));
    api::Session session(model, plan);
    std::string streamed;
    api::GenerationOptions options;
    options.max_new_tokens = 12;
    options.sampling = {.temperature = 0.8, .top_p = 0.9, .seed = 3};
    options.on_text = [&](std::string_view text) { streamed += text; };
    const Generation got = session.generate("The old man opened", options);
    const nlohmann::json want =
        run({"generate", "small", "-p", "The old man opened", "-n", "12", "--temperature", "0.8",
             "--top-p", "0.9", "--seed", "3", "--plan", path("streaming.plan"), "--json"})
            .json();
    EXPECT_EQ(got.text, want.at("text"));
    EXPECT_EQ(got.ids, want.at("ids").get<std::vector<int32_t>>());
    EXPECT_EQ(got.prompt_tokens, want.at("prompt_tokens"));
    EXPECT_EQ(finish_reason_name(got.finish_reason), want.at("finish_reason"));
    EXPECT_EQ(got.cache.bytes_allocated, want.at("cache").at("bytes_allocated"));
    EXPECT_EQ(got.cache.bytes_full, want.at("cache").at("bytes_full"));
    EXPECT_EQ(got.cache.tokens, want.at("cache").at("tokens"));
    EXPECT_EQ(got.cache.peak_bytes, want.at("cache").at("peak_bytes"));
    EXPECT_EQ(got.cache.ratio(), want.at("cache").at("ratio"));
    EXPECT_EQ(streamed, got.text);
}

TEST_F(ApiSession, SamplesAndStopsAsTheModelSays) {
    const std::string directory = copy_of("llama-gqa-tied");
    static_cast<void>(file("model/generation_config.json",
                           R"({"do_sample": true, "temperature": 2, "repetition_penalty": 1.3})"));
    const api::Model model =
        api::Model::load(directory, {.dtype = api::Precision::kF32, .max_context = 1000});
    EXPECT_EQ(model.info().sampling.temperature, 2);
    EXPECT_EQ(model.info().sampling.top_k, 50);
    api::Session own(model);
    const Generation as_model = own.generate(some_ids(20), {.max_new_tokens = 8});
    EXPECT_EQ(as_model.sampling.temperature, 2);
    api::Session asking(tiny_);
    const Generation as_asked = asking.generate(
        some_ids(20),
        {.max_new_tokens = 8, .sampling = {.temperature = 2, .top_k = 50, .repeat_penalty = 1.3}});
    EXPECT_EQ(as_model.ids, as_asked.ids);
}

TEST_F(ApiSession, ThePenaltyCountsAllTokensHoweverTheyCame) {
    const std::vector<int32_t> ids = some_ids(40);
    const api::GenerationOptions options{
        .max_new_tokens = 5, .sampling = {.repeat_penalty = 1.5}, .stop_at_eos = false};
    api::Session whole(tiny_);
    const Generation want = whole.generate(ids, options);
    api::Session parts(tiny_, {.num_sequences = 2});
    static_cast<void>(parts.prefill(std::span(ids).first(30)));
    static_cast<void>(parts.decode(ids[30]));
    api::Session fork = parts.fork();
    EXPECT_EQ(fork.generate(std::span(ids).subspan(31), options).ids, want.ids);
    EXPECT_EQ(whole.generate(std::vector<int32_t>{5}, options).ids.size(), 5);
}

TEST_F(ApiSession, GoesOnFromWhatItGenerated) {
    api::Session session(tiny_);
    const std::vector<int32_t> prompt = some_ids(20);
    const Generation first = session.generate(prompt, {.max_new_tokens = 5, .stop_at_eos = false});
    ASSERT_EQ(first.ids.size(), 5);
    EXPECT_EQ(session.num_tokens(), 25);
    EXPECT_EQ(session.usage().tokens, 24);
    const std::vector<float> logits = session.decode(9);
    EXPECT_EQ(session.num_tokens(), 26);
    EXPECT_EQ(session.usage().tokens, 26);

    api::Session other(tiny_);
    static_cast<void>(other.prefill(prompt));
    for (const int32_t id : first.ids) static_cast<void>(other.decode(id));
    EXPECT_EQ(other.decode(9), logits);
}

TEST_F(ApiSession, ForksShareThePrompt) {
    api::Session session(tiny_, {.num_sequences = 2});
    const std::vector<int32_t> prompt = some_ids(300);
    static_cast<void>(session.prefill(prompt));
    const int64_t bytes = session.usage().bytes_allocated;
    api::Session fork = session.fork();
    EXPECT_EQ(fork.num_tokens(), 300);
    EXPECT_EQ(fork.usage().bytes_allocated, bytes) << "shared";
    const std::vector<float> a = session.decode(4);
    const std::vector<float> b = fork.decode(5);
    EXPECT_NE(a, b);
    EXPECT_EQ(session.usage().bytes_allocated, bytes) << "what each holds, shared or not";
    EXPECT_GT(session.usage().pool_bytes, bytes) << "each writes to a page of its own";
    EXPECT_LT(session.usage().pool_bytes, 2 * bytes);

    api::Session alone(tiny_);
    static_cast<void>(alone.prefill(prompt));
    EXPECT_EQ(alone.decode(5), b);
}

TEST_F(ApiSession, AForkGoesOnFromAGenerationToo) {
    api::Session session(tiny_, {.num_sequences = 2});
    static_cast<void>(session.generate(some_ids(20), {.max_new_tokens = 3, .stop_at_eos = false}));
    api::Session fork = session.fork();
    EXPECT_EQ(fork.num_tokens(), session.num_tokens());
    EXPECT_EQ(fork.decode(7), session.decode(7));
}

TEST_F(ApiSession, OutlivesTheModelAndItsForks) {
    std::optional<api::Session> fork;
    {
        api::Session session(api::Model::load(tiny_path_), {.num_sequences = 2});
        static_cast<void>(session.prefill(some_ids(10)));
        fork.emplace(session.fork());
    }
    EXPECT_EQ(fork->decode(4).size(), 224);
}

TEST_F(ApiSession, ClearGivesThePagesBack) {
    api::Session session(tiny_);
    const std::vector<float> logits = session.prefill(some_ids(30));
    session.clear();
    EXPECT_EQ(session.num_tokens(), 0);
    EXPECT_EQ(session.usage().bytes_allocated, 0);
    EXPECT_EQ(session.prefill(some_ids(30)), logits);
}

TEST_F(ApiSession, AFullBudgetRefusesTheRequestAndLeavesTheSessionWhole) {
    api::Session session(tiny_, {.kv_budget_bytes = 2 * heads_ * kPageBytes});
    api::Session roomy(tiny_);
    const std::vector<int32_t> prompt = some_ids(100);
    static_cast<void>(session.prefill(prompt));
    static_cast<void>(roomy.prefill(prompt));
    const CacheUsage before = session.usage();
    try {
        static_cast<void>(session.prefill(some_ids(800)));
        FAIL() << "no exception";
    } catch (const BudgetError& error) {
        EXPECT_GT(error.needed_bytes, error.free_bytes);
        EXPECT_EQ(error.free_bytes, heads_ * kPageBytes);
    }
    EXPECT_THROW(static_cast<void>(session.generate(prompt, {.max_new_tokens = 700})), BudgetError);
    EXPECT_THROW(session.check_room(0, 800), BudgetError);
    EXPECT_EQ(session.num_tokens(), 100);
    EXPECT_EQ(session.usage().bytes_allocated, before.bytes_allocated);
    EXPECT_EQ(session.decode(6), roomy.decode(6));
    EXPECT_THROW(api::Session(tiny_, {.kv_budget_bytes = 1000}), BudgetError);
}

TEST_F(ApiSession, RefusesBadInputAndStaysWhole) {
    api::Session session(tiny_);
    api::Session other(tiny_);
    const std::vector<int32_t> prompt = some_ids(50);
    static_cast<void>(session.prefill(prompt));
    static_cast<void>(other.prefill(prompt));
    std::vector<int32_t> bad = some_ids(600);  // the last chunk holds what is no token
    bad.back() = 224;
    EXPECT_THAT(message_of<UsageError>([&] { static_cast<void>(session.prefill(bad)); }),
                HasSubstr("token id 224"));
    EXPECT_THROW(static_cast<void>(session.generate(bad)), UsageError);
    EXPECT_THROW(static_cast<void>(session.decode(-1)), UsageError);
    EXPECT_THROW(static_cast<void>(session.prefill({})), UsageError);
    EXPECT_THROW(static_cast<void>(session.generate(std::vector<int32_t>{})), UsageError);
    EXPECT_THROW(static_cast<void>(session.generate("text")), UnsupportedError);
    EXPECT_THROW(static_cast<void>(session.generate(prompt, {.stop = {"x"}})), UsageError);
    EXPECT_THROW(static_cast<void>(session.generate(prompt, {.max_new_tokens = -1})), UsageError);
    EXPECT_THROW(static_cast<void>(session.generate(prompt, {.sampling = {.top_p = 2}})),
                 UsageError);
    EXPECT_THROW(static_cast<void>(session.prefill(some_ids(951))), UsageError) << "context";
    EXPECT_THROW(session.check_room(-1, 0), UsageError);
    EXPECT_EQ(session.num_tokens(), 50);
    EXPECT_EQ(session.decode(6), other.decode(6));

    EXPECT_THROW(api::Session(tiny_, {.prefill_chunk = 0}), UsageError);
    EXPECT_THROW(api::Session(tiny_, {.num_sequences = 0}), UsageError);
    EXPECT_THROW(api::Session(tiny_, {.kv_budget_bytes = -1}), UsageError);
}

TEST_F(ApiSession, ACallbackThatThrowsEndsTheGeneration) {
    const api::Model model = api::Model::load("small", {.max_context = 256});
    api::Session session(model);
    EXPECT_THROW(static_cast<void>(session.generate(
                     "The old man", {.on_text = [](std::string_view) { throw 1; }})),
                 int);
    EXPECT_NO_THROW(static_cast<void>(session.generate(" and the sea", {.max_new_tokens = 2})));
}

TEST_F(ApiSession, ACallbackThatThrowsWithinAPromptLeavesNothingOfIt) {
    api::Session session(tiny_, {.prefill_chunk = 2});
    static_cast<void>(session.prefill(some_ids(3)));
    int64_t asked = 0;
    const auto throws = [&]() -> bool {
        if (++asked == 3) throw 1;
        return false;
    };
    EXPECT_THROW(static_cast<void>(session.generate(some_ids(8), {.should_stop = throws})), int);
    EXPECT_EQ(session.num_tokens(), 3);
    // One that says stop keeps what there is.
    asked = 0;
    static_cast<void>(session.generate(some_ids(8), {.should_stop = [&] { return ++asked == 3; }}));
    EXPECT_EQ(session.num_tokens(), 3 + 4);
}

TEST_F(ApiSession, StopsWhenAsked) {
    api::Session session(tiny_);
    int64_t asked = 0;
    const Generation result = session.generate(
        some_ids(5), {.stop_at_eos = false, .should_stop = [&] { return ++asked > 4; }});
    EXPECT_EQ(result.finish_reason, FinishReason::kInterrupted);
    EXPECT_EQ(session.num_tokens(), 5 + std::ssize(result.ids));
}

}  // namespace
}  // namespace lowkey
