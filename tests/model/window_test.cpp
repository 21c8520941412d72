// Layers that see a window, run past every border: of the window, of pages, of chunks.
#include <gtest/gtest.h>

#include <random>

#include "tests/model/golden.h"

namespace lowkey {
namespace {

constexpr double kLogitTolerance = 1e-4;  // sums in another order: as for logits of the reference
constexpr int64_t kLength = 400;          // pages hold 256 tokens of the tiny heads in f32

std::vector<int32_t> random_ids(int64_t count, int64_t vocab) {
    std::mt19937 rng(17);
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < count; ++i)
        ids.push_back(static_cast<int32_t>(rng() % static_cast<uint64_t>(vocab)));
    return ids;
}

CachePlan window_plan(const Model& model, int64_t window, int64_t sinks) {
    CachePlan plan = CachePlan::dense(model.config().num_layers, model.config().num_kv_heads);
    for (auto& layer : plan.layers) {
        for (HeadPlan& head : layer)
            head.policy = {"window", {{"window", window}, {"sinks", sinks}}};
    }
    return plan;
}

/// Keeps the first `rank` of `dim` coordinates.
CodecSpec truncation(int64_t dim, int64_t rank, const std::string& space) {
    CodecSpec spec;
    spec.map.name = "linear";
    if (!space.empty()) spec.map.settings["space"] = space;
    auto encode = std::make_shared<Tensor>(Tensor::zeros(DType::kF32, {dim, rank}));
    auto decode = std::make_shared<Tensor>(Tensor::zeros(DType::kF32, {rank, dim}));
    for (int64_t i = 0; i < rank; ++i) {
        encode->f32()[static_cast<size_t>(i * rank + i)] = 1;
        decode->f32()[static_cast<size_t>(i * dim + i)] = 1;
    }
    spec.map.tensors = {{"encode", encode}, {"decode", decode}};
    return spec;
}

/// A plan whose every codec loses something.
CachePlan low_rank_window_plan(const Model& model, int64_t window, int64_t sinks) {
    CachePlan plan = window_plan(model, window, sinks);
    const int64_t d = model.config().head_dim;
    for (auto& layer : plan.layers) {
        for (size_t h = 0; h < layer.size(); ++h) {
            layer[h].key = truncation(d, d - 3, h % 2 == 0 ? "before_rotation" : "");
            layer[h].value = truncation(d, d - 2, "");
        }
    }
    return plan;
}

void expect_same_however_fed(const std::shared_ptr<const Model>& model, const CachePlan& plan) {
    const auto ids = random_ids(kLength, model->config().vocab_size);
    Engine whole(model, plan, {.prefill_chunk = kLength});
    const auto want = all_logits(whole, ids, ids.size());
    for (const int64_t chunk : {7, 50, 129}) {
        Engine engine(model, plan, {.prefill_chunk = chunk});
        EXPECT_LE(difference(all_logits(engine, ids, ids.size()), want).max, kLogitTolerance)
            << chunk;
    }
    Engine engine(model, plan);
    EXPECT_LE(difference(all_logits(engine, ids, 3), want).max, kLogitTolerance);
    EXPECT_LE(difference(all_logits(engine, ids, 270), want).max, kLogitTolerance);
}

TEST(WindowedModel, ChunksAndTokensGiveWhatOnePrefillGives) {
    for (const char* name : {"mistral-window", "gemma2", "gemma3", "phi3", "qwen2-window"}) {
        SCOPED_TRACE(name);
        const auto model = Golden(name).load(DType::kF32);
        const ModelConfig& config = model->config();
        expect_same_however_fed(model, CachePlan::dense(config.num_layers, config.num_kv_heads));
    }
}

TEST(WindowedModel, PlansWithWindowsGiveTheSameHoweverFed) {
    for (const char* name : {"llama-mha", "mistral-window", "baichuan2-7b"}) {
        SCOPED_TRACE(name);
        const auto model = Model::load(std::string(LOWKEY_TEST_DATA) + "/models/" + name,
                                       {.dtype = DType::kF32, .max_context = 512});
        expect_same_however_fed(model, window_plan(*model, 60, 4));
        expect_same_however_fed(model, low_rank_window_plan(*model, 130, 4));
    }
}

TEST(WindowedModel, AWindowAsLongAsTheSequenceChangesNothing) {
    const Golden golden("llama-mha");
    const auto model = golden.load(DType::kF32);
    const auto ids = golden.ids("input_ids");
    Engine same(model, window_plan(*model, 36, 0));
    EXPECT_LE(difference(all_logits(same, ids, 5), golden.f32("logits")).max, 1e-4);
    Engine shorter(model, window_plan(*model, 20, 0));
    EXPECT_GT(difference(all_logits(shorter, ids, 5), golden.f32("logits")).max, 1e-2);
    Engine sinks(model, window_plan(*model, 20, 16));
    EXPECT_LE(difference(all_logits(sinks, ids, 5), golden.f32("logits")).max, 1e-4)
        << "window and sinks together see all";
}

TEST(WindowedModel, PlansWindowOfAModelsOwnWindowEqualsIt) {
    const Golden golden("mistral-window");
    const auto model = golden.load(DType::kF32);
    const auto ids = golden.ids("input_ids");
    Engine wider(model, window_plan(*model, 30, 4));
    EXPECT_LE(difference(all_logits(wider, ids, 5), golden.f32("logits")).max, 1e-4);
}

TEST(WindowedModel, MemoryStaysSmall) {
    const auto model = Golden("mistral-window").load(DType::kF32);
    const ModelConfig& config = model->config();
    const CachePlan plan = CachePlan::dense(config.num_layers, config.num_kv_heads);
    Engine engine(model, plan, {.prefill_chunk = 32});
    const int64_t heads = config.num_layers * config.num_kv_heads;
    // A window of 14 and 32 tokens of a chunk reach into two pages at most.
    EXPECT_LE(engine.layout().peak_bytes(512, 32), 2 * heads * kPageBytes);
    const auto ids = random_ids(500, config.vocab_size);
    const auto sequence = engine.new_sequence();
    static_cast<void>(engine.prefill_logits(*sequence, std::span(ids).first(300)));
    for (size_t t = 300; t < ids.size(); ++t) {
        static_cast<void>(engine.decode(*sequence, ids[t]));
        ASSERT_EQ(engine.usage(*sequence).bytes_allocated,
                  engine.layout().bytes_for(static_cast<int64_t>(t) + 1));
    }
    const CacheUsage usage = engine.usage(*sequence);
    EXPECT_LE(usage.peak_bytes, 2 * heads * kPageBytes);
    EXPECT_EQ(usage.bytes_full, 4 * heads * config.head_dim * 500);
}

TEST(WindowedModel, AnExactPrefillWritesOnlyWhatLaterQueriesSee) {
    const auto model = Golden("llama-mha").load(DType::kF32);
    CachePlan plan = window_plan(*model, 40, 4);
    plan.prefill_attention = PrefillAttention::kExact;
    // Room for a window and sinks, not for the prompt, but for the one layer of it that attends.
    const int64_t heads = model->config().num_layers * model->config().num_kv_heads;
    Engine roomy(model, plan);
    const auto prompt = roomy.new_sequence();
    const SequenceCache* const prompts[] = {prompt.get()};
    const int64_t beside = pages_for_bytes(model->exact_prompt_bytes(prompts, 505)) * kPageBytes;
    Engine engine(model, plan, {.kv_budget_bytes = 3 * heads * kPageBytes + beside});
    const auto ids = random_ids(512, model->config().vocab_size);
    const auto sequence = engine.new_sequence();
    const Tensor logits = engine.prefill_logits(*sequence, std::span(ids).first(505));
    EXPECT_LE(engine.usage(*sequence).peak_bytes, 3 * heads * kPageBytes + beside);
    EXPECT_LE(engine.usage(*sequence).pool_bytes, 3 * heads * kPageBytes);
    // Prompts see all of themselves, so the prefill is the uncompressed model's.
    Engine dense = dense_engine(model);
    const auto other = dense.new_sequence();
    const Tensor want = dense.prefill_logits(*other, std::span(ids).first(505));
    EXPECT_LE(difference(logits.f32(), want.f32()).max, kLogitTolerance);
    for (size_t t = 505; t < ids.size(); ++t) static_cast<void>(engine.decode(*sequence, ids[t]));
    EXPECT_EQ(engine.usage(*sequence).bytes_allocated, engine.layout().bytes_for(512));
}

TEST(WindowedModel, AdmissionCountsTheWindow) {
    const auto model = Golden("mistral-window").load(DType::kF32);
    const ModelConfig& config = model->config();
    const CachePlan plan = CachePlan::dense(config.num_layers, config.num_kv_heads);
    const int64_t heads = config.num_layers * config.num_kv_heads;
    Engine engine(model, plan, {.kv_budget_bytes = 2 * heads * kPageBytes, .prefill_chunk = 16});
    const auto sequence = engine.new_sequence();
    EXPECT_NO_THROW(engine.check_request(*sequence, 512, 0));
    Engine less(model, plan, {.kv_budget_bytes = heads * kPageBytes, .prefill_chunk = 16});
    EXPECT_THROW(less.check_request(*less.new_sequence(), 512, 0), BudgetError);
    EXPECT_NO_THROW(less.check_request(*less.new_sequence(), 100, 0));
}

TEST(WindowedModel, BasesBeforeRotationNeedFixedFrequencies) {
    const auto model = Golden("phi3-longrope").load(DType::kF32);
    CachePlan plan = CachePlan::dense(model->config().num_layers, model->config().num_kv_heads);
    plan.layers[0][0].key = truncation(model->config().head_dim, 8, "before_rotation");
    EXPECT_THROW(Engine(model, plan), UnsupportedError);
    plan.layers[0][0].key = truncation(model->config().head_dim, 8, "after_rotation");
    EXPECT_NO_THROW(Engine(model, plan));
}

}  // namespace
}  // namespace lowkey
