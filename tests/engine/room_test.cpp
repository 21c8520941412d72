// What is admitted can be finished, and nobody is admitted twice against the same pages.

#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "base/parallel.h"
#include "engine/generation.h"
#include "io/random_checkpoint.h"
#include "tests/io/temporary_folder.h"
#include "tests/kvcache/helpers.h"

namespace lowkey {
namespace {

constexpr int64_t kLayers = 2;
constexpr int64_t kHeads = 2;
constexpr int64_t kHeadDim = 128;  // 32 tokens a page
constexpr int32_t kVocab = 50;

class Room : public TemporaryFolder {
protected:
    [[nodiscard]] std::shared_ptr<const Model> model(int64_t max_context = 1024) const {
        const std::string config = file("config.json", R"({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 50,
            "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 128,
            "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "max_position_embeddings": 1024})");
        return Model::load(std::make_shared<const RandomCheckpoint>(config, DType::kF32, 3),
                           {DType::kF32, max_context});
    }
    static CachePlan plan(const TokenPolicySpec& policy, PrefillAttention mode) {
        CachePlan plan = CachePlan::dense(kLayers, kHeads);
        plan.prefill_attention = mode;
        for (auto& layer : plan.layers) {
            for (HeadPlan& head : layer) head.policy = policy;
        }
        plan.layers[0][1].policy = {};
        plan.layers[1][0].key = test::low_rank(kHeadDim, 40, 3, "before_rotation");
        return plan;
    }
    static std::vector<CachePlan> plans() {
        std::vector<CachePlan> all;
        for (const auto mode : {PrefillAttention::kCompressed, PrefillAttention::kExact}) {
            for (const TokenPolicySpec& policy : std::vector<TokenPolicySpec>{
                     {},
                     {"window", {{"window", int64_t{50}}}},
                     {"window", {{"window", int64_t{40}}, {"sinks", int64_t{4}}}},
                     {"window",
                      {{"window_share", 0.4}, {"window", int64_t{9}}, {"compensation", true}}},
                     {"heavy_hitters", {{"recent", int64_t{30}}, {"heavy", int64_t{50}}}},
                     {"prompt_selection", {{"observe", int64_t{8}}, {"capacity", int64_t{70}}}}}) {
                all.push_back(plan(policy, mode));
            }
        }
        return all;
    }
};

TEST_F(Room, WhatIsAdmittedIsFinishedWithNoPageMore) {
    const auto loaded = model();
    const int threads = num_threads();
    set_num_threads(1);  // steps are small
    int seed = 0;
    for (const CachePlan& own : plans()) {
        for (const int64_t chunk : {7, 64, 500}) {
            SCOPED_TRACE("plan and chunk " + std::to_string(seed));
            std::mt19937 rng(static_cast<unsigned>(seed++));
            const auto draw = [&](int64_t low, int64_t high) {
                return low + static_cast<int64_t>(rng() % static_cast<unsigned>(high - low + 1));
            };
            Engine engine(loaded, own, {.prefill_chunk = chunk, .num_sequences = 8});
            std::vector<std::unique_ptr<SequenceCache>> all;
            all.push_back(engine.new_sequence());
            PagePool& pool = all[0]->pool();
            for (int event = 0; event < 12; ++event) {
                const auto at = static_cast<size_t>(draw(0, std::ssize(all) - 1));
                const int64_t kind = draw(0, 9);
                if (kind == 0 && all.size() < 4) all.push_back(engine.new_sequence());
                if (kind == 1 && all.size() < 4) all.push_back(all[at]->fork());
                if (kind == 2 && all.size() > 1)
                    all.erase(all.begin() + static_cast<std::ptrdiff_t>(at));
                if (kind < 3) continue;
                // One or two requests at a time.
                struct Request {
                    SequenceCache* sequence;
                    int64_t prompt;
                    int64_t tokens;
                    Reservation room;
                };
                std::vector<Request> requests;
                for (const auto& sequence : all) {
                    if (requests.size() == 2 || draw(0, 1) == 0) continue;
                    const int64_t prompt = draw(0, 3) == 0 ? 0 : draw(1, 150);
                    // Decoding alone needs something to go on from.
                    const int64_t tokens = sequence->num_tokens() + prompt == 0 ? 0 : draw(0, 40);
                    if (sequence->num_tokens() + prompt + tokens > 1024) continue;
                    requests.push_back({sequence.get(), prompt, tokens,
                                        engine.reserve(*sequence, prompt, tokens)});
                }
                // Nothing else is to be had.
                PagePromise rest;
                pool.promise(rest, pool.free_pages(), "the rest");
                for (const Request& request : requests) {
                    std::vector<int32_t> ids;
                    for (int64_t i = 0; i < request.prompt; ++i)
                        ids.push_back(static_cast<int32_t>(draw(0, kVocab - 1)));
                    if (ids.empty()) continue;
                    ASSERT_NO_THROW(
                        static_cast<void>(engine.prefill_logits(*request.sequence, ids)));
                }
                // Nor what the prompts let go.
                pool.promise(rest, pool.free_pages(), "what prompts let go");
                for (int64_t t = 0; t < 40; ++t) {
                    for (const Request& request : requests) {
                        if (t >= request.tokens) continue;
                        ASSERT_NO_THROW(static_cast<void>(engine.decode(
                            *request.sequence, static_cast<int32_t>(draw(0, kVocab - 1)))));
                    }
                }
                requests.clear();
                pool.end_promise(rest);
            }
            EXPECT_LE(pool.peak_bytes(), pool.num_pages() * kPageBytes);
            while (all.size() > 1) all.pop_back();
            EXPECT_EQ(pool.allocated_bytes(), all[0]->num_pages() * kPageBytes);
            EXPECT_EQ(pool.free_pages(), pool.num_pages() - all[0]->num_pages());
        }
    }
    set_num_threads(threads);
}

TEST_F(Room, PagesThatAPromptLetsGoAreStillReserved) {
    const auto loaded = model();
    CachePlan own = plan({"heavy_hitters", {{"recent", int64_t{30}}, {"heavy", int64_t{50}}}},
                         PrefillAttention::kCompressed);
    own.layers[1][1].policy = {};
    Engine engine(loaded, own, {.prefill_chunk = 24, .num_sequences = 4});
    const auto sequence = engine.new_sequence();
    const auto prefill = [&](int64_t tokens) {
        static_cast<void>(
            engine.prefill_logits(*sequence, std::vector<int32_t>(static_cast<size_t>(tokens), 7)));
    };
    prefill(200);
    // Long decoding takes more than the prompt and the snapshot of what was before it.
    const Reservation room = engine.reserve(*sequence, 60, 700);
    PagePool& pool = sequence->pool();
    PagePromise rest;
    pool.promise(rest, pool.free_pages(), "the rest");
    prefill(60);
    pool.promise(rest, pool.free_pages(), "what the prompt let go");
    for (int i = 0; i < 700; ++i)
        ASSERT_NO_THROW(static_cast<void>(engine.decode(*sequence, i % kVocab))) << i;
    pool.end_promise(rest);
}

TEST_F(Room, TwoRequestsAreNotAdmittedAgainstTheSamePages) {
    const auto loaded = model();
    const int64_t heads = kLayers * kHeads;
    Engine engine(loaded, CachePlan::dense(kLayers, kHeads),
                  {.kv_budget_bytes = 12 * heads * kPageBytes});
    const auto first = engine.new_sequence();
    const auto second = engine.new_sequence();
    const std::vector<int32_t> prompt(100, 1);
    // The first is at work when the second asks.
    GenerationOptions options{.max_new_tokens = 101};
    int64_t refused = 0;
    options.should_stop = [&] {
        if (refused > 0) return false;
        try {
            static_cast<void>(generate(engine, *second, nullptr, prompt, {.max_new_tokens = 157}));
        } catch (const BudgetError& error) {
            // Eight pages a head were asked for; seven of twelve are the first one's.
            EXPECT_EQ(error.needed_bytes, 8 * heads * kPageBytes);
            EXPECT_EQ(error.free_bytes, 5 * heads * kPageBytes);
            ++refused;
        }
        return false;
    };
    EXPECT_EQ(generate(engine, *first, nullptr, prompt, options).ids.size(), 101);
    EXPECT_EQ(refused, 1);
    EXPECT_EQ(second->num_tokens(), 0);
    static_cast<void>(generate(engine, *second, nullptr, prompt, {.max_new_tokens = 20}));
}

TEST_F(Room, AnExactPromptsOwnKeysAndValuesAreCounted) {
    const auto loaded = model();
    const CachePlan own = plan({"window", {{"window", int64_t{40}}}}, PrefillAttention::kExact);
    const std::vector<int32_t> prompt(640, 1);
    Engine roomy(loaded, own);
    const auto sequence = roomy.new_sequence();
    static_cast<void>(roomy.prefill_logits(*sequence, prompt));
    const CacheUsage usage = roomy.usage(*sequence);
    // Two heads of a layer: 640 tokens in pages, and again in f32.
    const int64_t beside = 2 * 2 * 640 * 2 * kHeadDim * 4;
    EXPECT_GT(usage.peak_bytes, usage.bytes_allocated);
    EXPECT_GE(usage.peak_bytes, beside);
    Engine tight(loaded, own, {.kv_budget_bytes = beside});
    const auto other = tight.new_sequence();
    EXPECT_THROW(static_cast<void>(tight.prefill_logits(*other, prompt)), BudgetError);
    EXPECT_EQ(other->num_tokens(), 0);
    Engine enough(loaded, own, {.kv_budget_bytes = usage.peak_bytes + 8 * kPageBytes});
    const auto third = enough.new_sequence();
    EXPECT_NO_THROW(static_cast<void>(enough.prefill_logits(*third, prompt)));
}

TEST_F(Room, AContextShorterThanAChunkNeedsNoBudget) {
    const auto loaded = model(/*max_context=*/60);
    for (const CachePlan& own : plans()) {
        Engine engine(loaded, own, {.prefill_chunk = 512});
        const auto sequence = engine.new_sequence();
        const std::vector<int32_t> prompt(40, 1);
        EXPECT_EQ(generate(engine, *sequence, nullptr, prompt, {.max_new_tokens = 20}).ids.size(),
                  20);
    }
}

TEST_F(Room, UsageIsTheSequencesAndThePools) {
    const auto loaded = model();
    Engine engine(loaded, CachePlan::dense(kLayers, kHeads), {.num_sequences = 2});
    const int64_t heads = kLayers * kHeads;
    auto first = engine.new_sequence();
    const auto second = engine.new_sequence();
    const std::vector<int32_t> prompt(100, 1);
    static_cast<void>(engine.prefill_logits(*first, prompt));
    static_cast<void>(engine.prefill_logits(*second, std::span(prompt).first(30)));
    EXPECT_EQ(engine.usage(*first).bytes_allocated, 4 * heads * kPageBytes);
    EXPECT_EQ(engine.usage(*second).bytes_allocated, heads * kPageBytes);
    EXPECT_EQ(engine.usage(*second).pool_bytes, 5 * heads * kPageBytes);
    first.reset();
    static_cast<void>(
        generate(engine, *second, nullptr, std::span(prompt).first(5), {.max_new_tokens = 2}));
    EXPECT_EQ(engine.usage(*second).peak_bytes, 2 * heads * kPageBytes)
        << "the peak is that of the last generation";
}

}  // namespace
}  // namespace lowkey
