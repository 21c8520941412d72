#include "model/model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/phase_times.h"
#include "io/safetensors_checkpoint.h"
#include "kvcache/cache_step.h"
#include "model/exact_prompt.h"
#include "model/layer_attention.h"

namespace lowkey {
namespace {

// Tokens whose MLP activations are held at a time.
constexpr int64_t kMlpTokens = 512;

/// Cuts a pass into slices of at most `size` tokens, which run through a layer one after another; 0
/// leaves it whole.
std::vector<std::vector<SequenceInput>> cut(std::span<const SequenceInput> batch, int64_t size) {
    std::vector<std::vector<SequenceInput>> slices(1);
    int64_t room = size;
    for (size_t s = 0; s < batch.size(); ++s) {
        const SequenceInput& whole = batch[s];
        const int64_t count = std::ssize(whole.tokens);
        const int64_t length = whole.length();
        for (int64_t t = 0; t < count;) {
            if (size > 0 && room == 0) {
                slices.emplace_back();
                room = size;
            }
            const int64_t taken = size > 0 ? std::min(room, count - t) : count;
            SequenceInput& part = slices.back().emplace_back(whole);
            part.tokens = whole.tokens.subspan(static_cast<size_t>(t), static_cast<size_t>(taken));
            part.final_length = length;
            part.offset = t;
            part.index = static_cast<int64_t>(s);
            t += taken;
            room -= taken;
        }
    }
    return slices;
}

/// The caches of a batch.
std::vector<SequenceCache*> caches_of(std::span<const SequenceInput> batch) {
    std::vector<SequenceCache*> all;
    for (const SequenceInput& input : batch) {
        all.push_back(input.cache);
        all.insert(all.end(), input.companions.begin(), input.companions.end());
    }
    return all;
}

/// Room for what a pass adds, where it was not reserved before. Throws BudgetError.
std::vector<Reservation> reserve_room(const Model& model, std::span<const SequenceInput> batch) {
    std::vector<Reservation> rooms;
    for (const SequenceInput& input : batch) {
        const auto count = static_cast<int64_t>(input.tokens.size());
        if (count == 0) continue;
        const bool exact = input.attends_exactly();
        Growth growth{.num_tokens = input.first_token() + count,
                      .prompt_end = input.prompt ? input.length() : 0,
                      .pass_tokens = count,
                      .step = exact ? 1 : count};
        // A prompt's other chunks are asked for with the first: some heads take their pages then.
        growth.num_tokens = std::max(growth.num_tokens, growth.prompt_end);
        const auto reserve = [&](SequenceCache& cache) {
            const SequenceCache* const alone[] = {&cache};
            const bool own = cache.layout().prefill_attention() == PrefillAttention::kExact;
            growth.other_bytes = exact && own ? model.exact_prompt_bytes(alone, count) : 0;
            if (!cache.has_room(growth)) rooms.push_back(cache.reserve(growth));
        };
        reserve(*input.cache);
        for (SequenceCache* cache : input.companions) reserve(*cache);
    }
    return rooms;
}

/// One table for every way of rotating, shared by the layers that rotate so.
Model::Rotaries make_rotaries(const ModelConfig& config, int64_t num_positions) {
    Model::Rotaries rotaries(static_cast<size_t>(config.num_layers));
    if (config.positions != ModelConfig::Positions::kRope) return rotaries;
    for (int64_t layer = 0; layer < config.num_layers; ++layer) {
        const RopeConfig& rope = config.rope_of(layer);
        std::shared_ptr<const RotaryTable>& own = rotaries[static_cast<size_t>(layer)];
        for (const auto& other : rotaries) {
            if (other != nullptr && other->config() == rope) own = other;
        }
        if (own == nullptr) own = std::make_shared<const RotaryTable>(rope, num_positions);
    }
    return rotaries;
}

}  // namespace

std::shared_ptr<const Model> Model::load(const std::string& directory, const ModelOptions& options,
                                         const LoadProgress& on_progress) {
    return load(std::make_shared<const SafetensorsCheckpoint>(directory), options, on_progress);
}

std::shared_ptr<const Model> Model::load(std::shared_ptr<const Checkpoint> checkpoint,
                                         const ModelOptions& options,
                                         const LoadProgress& on_progress) {
    ModelConfig config = ModelConfig::read(checkpoint->config(), checkpoint->config_path());
    ModelOptions used = options;
    if (used.max_context == 0) used.max_context = config.max_position_embeddings;
    if (config.positions == ModelConfig::Positions::kLearned &&
        used.max_context > config.max_position_embeddings) {
        throw UsageError("the model has " + std::to_string(config.max_position_embeddings) +
                             " learned positions, not " + std::to_string(used.max_context),
                         checkpoint->config_path(), "lower --max-context");
    }
    ModelWeights weights = load_weights(std::move(checkpoint), config, options.dtype, on_progress);
    Rotaries rotaries = make_rotaries(config, used.max_context);
    return std::make_shared<const Model>(std::move(config), std::move(weights), used,
                                         std::move(rotaries));
}

Model::Model(ModelConfig config, ModelWeights weights, ModelOptions options, Rotaries rotaries)
    : config_(std::move(config)),
      weights_(std::move(weights)),
      options_(options),
      rotaries_(std::move(rotaries)) {}

CacheShape Model::cache_shape() const {
    CacheShape shape;
    shape.head_dim = config_.head_dim;
    shape.dtype = options_.dtype;
    for (size_t layer = 0; layer < weights_.layers.size(); ++layer) {
        shape.layers.push_back(weights_.layers[layer].kv_heads);
        for (CacheShape::Head& head : shape.layers.back()) head.rotary = rotaries_[layer];
    }
    return shape;
}

Tensor Model::embed(std::span<const SequenceInput> batch) const {
    const int64_t size = config_.embedding_size;
    Tensor embedded(DType::kF32, {count_tokens(batch), size});
    float* row = embedded.f32().data();
    for (const SequenceInput& input : batch) {
        for (const int32_t token : input.tokens) {
            if (token < 0 || token >= config_.vocab_size) {
                throw UsageError("token id " + std::to_string(token) + " is outside the vocabulary",
                                 "the model has ids 0 to " + std::to_string(config_.vocab_size - 1),
                                 "use this model's own tokenizer");
            }
            TensorView view = weights_.embedding;
            view.data += token * size * dtype_bytes(view.dtype);
            view.shape = {size};
            const std::vector<float> values = to_f32(view);
            const auto scale = static_cast<float>(config_.embedding_scale);
            for (int64_t i = 0; i < size; ++i) row[i] = values[static_cast<size_t>(i)] * scale;
            row += size;
        }
    }
    // The table stays mapped, not in memory: in the end a long text reads most of its pages. f32
    // output heads may read it where it lies, all of it for every token.
    if (options_.dtype == DType::kBF16) weights_.checkpoint->release_tensor(weights_.embedding);
    if (weights_.project_in != nullptr) {
        Tensor projected(DType::kF32, {embedded.dim(0), config_.hidden_size});
        weights_.project_in->forward(embedded.f32().data(), embedded.dim(0),
                                     projected.f32().data());
        embedded = std::move(projected);
    }
    if (!weights_.positions.empty()) {
        row = embedded.f32().data();
        for (const SequenceInput& input : batch) {
            for (size_t t = 0; t < input.tokens.size(); ++t) {
                const int64_t pos = input.cache->num_tokens() + static_cast<int64_t>(t) +
                                    config_.learned_position_offset;
                const float* position = weights_.positions.data() + pos * config_.hidden_size;
                for (int64_t i = 0; i < config_.hidden_size; ++i) row[i] += position[i];
                row += config_.hidden_size;
            }
        }
    }
    return embedded;
}

Tensor Model::forward(std::span<const SequenceInput> batch, ForwardObserver* observer,
                      int64_t slice_tokens, const HiddenStates& before_commit) const {
    for (const SequenceInput& input : batch) {
        const auto count = static_cast<int64_t>(input.tokens.size());
        const int64_t length = input.cache->num_tokens() + count;
        if (length > max_context()) {
            throw UsageError(std::to_string(length) + " tokens do not fit the context of " +
                                 std::to_string(max_context()),
                             "",
                             "shorten the text, or raise --max-context where the model allows it");
        }
    }
    const std::vector<Reservation> rooms = reserve_room(*this, batch);
    Tensor hidden = embed(batch);
    ForwardBuffers buffers;
    CacheStep step(caches_of(batch), 0, config_.num_layers);
    for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
        layer_pass(layer, batch, hidden.f32().data(), buffers, observer, slice_tokens);
    }
    if (before_commit) before_commit(hidden);
    {
        const PhaseTimer timer(Phase::kEncode);
        step.commit();
    }
    // Nothing throws from here on.
    for (const SequenceInput& input : batch) {
        const auto count = static_cast<int64_t>(input.tokens.size());
        input.cache->set_num_tokens(input.cache->num_tokens() + count);
        for (SequenceCache* cache : input.companions)
            cache->set_num_tokens(cache->num_tokens() + count);
    }
    return hidden;
}

int64_t Model::exact_prompt_bytes(std::span<const SequenceCache* const> caches,
                                  int64_t num_tokens) const {
    int64_t most = 0;
    for (int64_t layer = 0; layer < config_.num_layers; ++layer)
        most = std::max(most, ExactPrompt::bytes(caches, layer, num_tokens));
    return most;
}

void Model::run_layer(int64_t layer, std::span<const SequenceInput> batch, float* hidden,
                      ForwardBuffers& buffers, ForwardObserver* observer,
                      int64_t slice_tokens) const {
    CacheStep step(caches_of(batch), layer, layer + 1);
    layer_pass(layer, batch, hidden, buffers, observer, slice_tokens);
    step.commit();
}

void Model::layer_pass(int64_t layer, std::span<const SequenceInput> batch, float* hidden,
                       ForwardBuffers& buffers, ForwardObserver* observer,
                       int64_t slice_tokens) const {
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    LayerAttention attention(config_, w, layer, rotary(layer).get(), batch, observer, buffers);
    float* rows = hidden;
    for (const auto& slice : cut(batch, slice_tokens)) {
        run_slice(layer, slice, attention, rows, buffers);
        rows += count_tokens(slice) * config_.hidden_size;
    }
    attention.finish();
    if (observer != nullptr) observer->on_layer_output(layer, hidden, count_tokens(batch));
}

void Model::run_slice(int64_t layer, std::span<const SequenceInput> slice,
                      LayerAttention& attention, float* hidden, ForwardBuffers& buffers) const {
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    const int64_t n = count_tokens(slice);
    const auto size = static_cast<size_t>(n * config_.hidden_size);
    const std::span<float> residual(hidden, size);
    const std::span<float> x = take(buffers.scratch, Buffer::kNormed, std::ssize(residual));
    const std::span<float> out = take(buffers.scratch, Buffer::kBlockOutput, std::ssize(residual));
    const auto run_block = [&](const BlockNorms& norms, auto&& block) {
        if (norms.before.present()) norms.before.forward(hidden, n, x.data());
        block(norms.before.present() ? x.data() : hidden);
        if (norms.output.present()) norms.output.forward(out.data(), n, out.data());
        add(residual, out);
        if (norms.after.present()) norms.after.forward(hidden, n, hidden);
    };
    run_block(w.attention_norms, [&](const float* in) { attention.run(slice, in, out.data()); });
    run_block(w.mlp_norms,
              [&](const float* in) { mlp(layer, in, n, out.data(), buffers.scratch); });
}

void Model::mlp(int64_t layer, const float* x, int64_t num_tokens, float* out,
                Scratch& buffers) const {
    const PhaseTimer timer(Phase::kLinear);
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    const int64_t block = std::min(kMlpTokens, num_tokens);
    const int64_t inner_size = block * config_.intermediate_size;
    const std::span<float> up = take(buffers, Buffer::kUp, inner_size);
    const std::span<float> gate = take(buffers, Buffer::kGate, config_.gated_mlp ? inner_size : 0);
    for (int64_t t = 0; t < num_tokens; t += kMlpTokens) {
        const int64_t count = std::min(kMlpTokens, num_tokens - t);
        const auto size = static_cast<size_t>(count * config_.intermediate_size);
        const float* from = x + t * config_.hidden_size;
        const std::span<float> inner = (config_.gated_mlp ? gate : up).first(size);
        LinearInput input(from, count, config_.hidden_size, buffers);
        if (config_.gated_mlp) {
            const LinearCall calls[] = {{w.gate.get(), gate.data()}, {w.up.get(), up.data()}};
            forward_all(input, calls);
            apply_gated_activation(config_.activation, inner, up.first(size));
        } else {
            const LinearCall call{w.up.get(), up.data()};
            forward_all(input, {&call, 1});
            apply_activation(config_.activation, inner);
        }
        LinearInput activated(inner.data(), count, config_.intermediate_size, buffers);
        const LinearCall down{w.down.get(), out + t * config_.hidden_size};
        forward_all(activated, {&down, 1});
    }
}

void Model::logits(const float* hidden, int64_t num_tokens, float* logits) const {
    Tensor x(DType::kF32, {num_tokens, config_.hidden_size});
    if (config_.final_norm) {
        weights_.final_norm.forward(hidden, num_tokens, x.f32().data());
    } else {
        std::memcpy(x.data(), hidden, static_cast<size_t>(x.bytes()));
    }
    if (weights_.project_out != nullptr) {
        Tensor projected(DType::kF32, {num_tokens, config_.embedding_size});
        weights_.project_out->forward(x.f32().data(), num_tokens, projected.f32().data());
        x = std::move(projected);
    }
    const PhaseTimer timer(Phase::kLinear);
    weights_.lm_head->forward(x.f32().data(), num_tokens, logits);
    if (config_.logits_softcap > 0) {
        apply_softcap({logits, static_cast<size_t>(num_tokens * config_.vocab_size)},
                      static_cast<float>(config_.logits_softcap));
    }
}

}  // namespace lowkey
