#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "io/safetensors.h"

namespace lowkey {

/// A tiny checkpoint of tests/data/models with what the reference implementation computes.
class Golden {
public:
    explicit Golden(const std::string& name)
        : directory_(std::string(LOWKEY_TEST_DATA) + "/models/" + name),
          file_(directory_ + "/golden.safetensors") {}

    static std::vector<std::string> names() {
        std::vector<std::string> out;
        for (const auto& entry :
             std::filesystem::directory_iterator(std::string(LOWKEY_TEST_DATA) + "/models")) {
            if (entry.is_directory()) out.push_back(entry.path().filename().string());
        }
        std::sort(out.begin(), out.end());
        return out;
    }
    /// With room for the prompt and its continuation, also where that is beyond the original
    /// context.
    [[nodiscard]] std::shared_ptr<const Model> load(DType dtype) const {
        constexpr int64_t kTokens = 64;
        const auto model = Model::load(directory_, {.dtype = dtype});
        if (model->max_context() >= kTokens) return model;
        return Model::load(directory_, {.dtype = dtype, .max_context = kTokens});
    }
    /// Logits of a prefill of 5 tokens and decoding: the same as of one prefill, but where rotary
    /// frequencies depend on the length.
    [[nodiscard]] std::span<const float> decode_logits() const {
        return f32(has("decode_logits") ? "decode_logits" : "logits");
    }
    [[nodiscard]] bool has(const std::string& tensor) const { return file_.contains(tensor); }
    [[nodiscard]] std::span<const float> f32(const std::string& tensor) const {
        return file_.tensor(tensor).as<float>();
    }
    [[nodiscard]] std::vector<int32_t> ids(const std::string& tensor) const {
        const auto ids = file_.tensor(tensor).as<int64_t>();
        return {ids.begin(), ids.end()};
    }

private:
    std::string directory_;
    SafetensorsFile file_;
};

inline Engine dense_engine(std::shared_ptr<const Model> model, const EngineOptions& options = {}) {
    const ModelConfig& config = model->config();
    const CachePlan plan = CachePlan::dense(config.num_layers, config.num_kv_heads);
    return {std::move(model), plan, options};
}

/// Logits [num_tokens, vocab_size]: the first `prefill` tokens in one prefill, the others decoded.
inline std::vector<float> all_logits(Engine& engine, std::span<const int32_t> ids, size_t prefill) {
    const auto vocab = static_cast<size_t>(engine.model().config().vocab_size);
    std::vector<float> logits(ids.size() * vocab);
    const auto sequence = engine.new_sequence();
    engine.prefill(
        *sequence, ids.first(prefill), [&](int64_t first, const float* hidden, int64_t n) {
            engine.model().logits(hidden, n, logits.data() + static_cast<size_t>(first) * vocab);
        });
    for (size_t t = prefill; t < ids.size(); ++t) {
        const Tensor row = engine.decode(*sequence, ids[t]);
        std::copy(row.f32().begin(), row.f32().end(),
                  logits.begin() + static_cast<long>(t * vocab));
    }
    return logits;
}

/// Largest and mean absolute difference; NaN counts as infinite.
struct Difference {
    double max = 0;
    double mean = 0;
};

inline Difference difference(std::span<const float> a, std::span<const float> b) {
    if (a.size() != b.size()) return {INFINITY, INFINITY};
    Difference out;
    for (size_t i = 0; i < a.size(); ++i) {
        const double d = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
        out.max = std::isnan(d) ? INFINITY : std::max(out.max, d);
        out.mean += d / static_cast<double>(a.size());
    }
    return out;
}

}  // namespace lowkey
