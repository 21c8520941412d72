#include "compress/calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <random>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/random.h"
#include "base/size.h"
#include "compress/attended_grams.h"
#include "compress/calibration_part.h"
#include "kernels/kernels.h"

namespace lowkey {
namespace {

/// Adds up the Grams of every kind as the forward pass goes.
class GramObserver final : public ForwardObserver {
public:
    GramObserver(const Model& model, CalibrationStats& stats)
        : config_(model.config()), stats_(stats), attended_(model, stats) {
        const Shape shape = {config_.num_layers, config_.num_kv_heads, config_.head_dim,
                             config_.head_dim};
        for (const std::string& kind : gram_kinds(model.rotates())) {
            stats.first.emplace(kind, Tensor::zeros(DType::kF64, shape));
            stats.rest.emplace(kind, Tensor::zeros(DType::kF64, shape));
        }
    }

    void on_projected(const ObservedTokens& seen) override {
        add("K", seen, seen.k, seen.kv_stride, 1);
        add("Q", seen, seen.q, seen.q_stride, config_.group_size());
        add("V", seen, seen.v, seen.kv_stride, 1);
        attended_.keep_keys(seen);
        check_finite(seen);
    }
    void on_rotated(const ObservedTokens& seen) override {
        attended_.add(seen);
        if (!stats_.rest.contains("K_rot")) return;
        add("K_rot", seen, seen.k, seen.kv_stride, 1);
        add("Q_rot", seen, seen.q, seen.q_stride, config_.group_size());
    }
    void on_attention(const ObservedTokens& seen) override {
        check_rows("attention's output", seen.layer, seen.out, seen.out_stride, seen.num_tokens,
                   config_.num_heads);
        add("O", seen, seen.out, seen.out_stride, config_.group_size());
    }

    /// The kernels fill upper triangles.
    void symmetrize() {
        for (auto* grams : {&stats_.first, &stats_.rest}) {
            for (auto& [kind, set] : *grams) {
                const int64_t d = config_.head_dim;
                for (int64_t m = 0; m < set.size(); m += d * d) {
                    for (int64_t i = 0; i < d; ++i) {
                        for (int64_t j = 0; j < i; ++j) {
                            set.as<double>()[static_cast<size_t>(m + i * d + j)] =
                                set.as<double>()[static_cast<size_t>(m + j * d + i)];
                        }
                    }
                }
            }
        }
    }

private:
    /// One number that is not finite spoils all Grams without a trace of where it came from.
    void check_finite(const ObservedTokens& seen) const {
        check_rows("keys", seen.layer, seen.k, seen.kv_stride, seen.num_tokens,
                   config_.num_kv_heads);
        check_rows("queries", seen.layer, seen.q, seen.q_stride, seen.num_tokens,
                   config_.num_heads);
        check_rows("values", seen.layer, seen.v, seen.kv_stride, seen.num_tokens,
                   config_.num_kv_heads);
    }
    void check_rows(const char* what, int64_t layer, const float* x, int64_t stride,
                    int64_t num_tokens, int64_t heads) const {
        const int64_t width = heads * config_.head_dim;
        for (int64_t t = 0; t < num_tokens; ++t) {
            // A sum with 0 · x is finite if all x are.
            float sum = 0;
            for (int64_t i = 0; i < width; ++i) sum += 0.0f * x[t * stride + i];
            if (std::isfinite(sum)) continue;
            int64_t i = 0;
            while (i + 1 < width && std::isfinite(x[t * stride + i])) ++i;
            throw Error(
                std::string("not finite: ") + what,
                "layer " + std::to_string(layer) + ", head " + std::to_string(i / config_.head_dim),
                "a weight of this layer or of one before it is broken: get the checkpoint "
                "again");
        }
    }

    void add(const std::string& kind, const ObservedTokens& seen, const float* x, int64_t stride,
             int64_t heads_per_kv_head) {
        const int64_t d = config_.head_dim;
        const int64_t in_first =
            std::clamp<int64_t>(stats_.first_tokens - seen.first_position, 0, seen.num_tokens);
        Tensor& first = stats_.first.at(kind);
        Tensor& rest = stats_.rest.at(kind);
        parallel_for(config_.num_kv_heads, [&](int64_t head) {
            const int64_t at = (seen.layer * config_.num_kv_heads + head) * d * d;
            for (int64_t g = 0; g < heads_per_kv_head; ++g) {
                const float* from = x + (head * heads_per_kv_head + g) * d;
                kernels().gram_f64(from, stride, in_first, d, first.as<double>().data() + at);
                kernels().gram_f64(from + in_first * stride, stride, seen.num_tokens - in_first, d,
                                   rest.as<double>().data() + at);
            }
        });
    }

    const ModelConfig& config_;
    CalibrationStats& stats_;
    AttendedGrams attended_;
};

void check_lengths(const Model& model, int64_t count, int64_t length) {
    if (count < 1 || length < 1)
        throw UsageError("no calibration sequences", "", "give at least one token");
    if (length > model.max_context()) {
        throw UsageError("sequences of " + std::to_string(length) +
                             " tokens do not fit the context of " +
                             std::to_string(model.max_context()),
                         "", "lower --length");
    }
}

std::shared_ptr<const CacheLayout> dense_layout(const Model& model) {
    return std::make_shared<const CacheLayout>(
        CachePlan::dense(model.config().num_layers, model.config().num_kv_heads),
        model.cache_shape());
}

int64_t budgeted(int64_t bytes, const CalibrationOptions& options) {
    if (options.kv_budget_bytes > 0 && bytes > options.kv_budget_bytes) {
        throw BudgetError(bytes, options.kv_budget_bytes, "calibrate",
                          "raise --kv-budget, or lower --length");
    }
    return bytes;
}

/// Says how long the rest takes, after the first of it.
void say_time(std::chrono::steady_clock::time_point begin, int64_t left, int64_t length) {
    constexpr double kLongSeconds = 5;
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const double rest = seconds * static_cast<double>(left);
    if (rest < kLongSeconds) return;
    Progress::say(fmt::format("calibration takes about {}: {} more sequences of {} tokens",
                              format_seconds(rest), left, length));
}

/// Keeps what was done where there is a part, and stops where that was asked for.
void keep_part(const CalibrationOptions& options, const CalibrationStats& stats, int64_t done) {
    const bool stop = options.should_stop && options.should_stop();
    if (options.part != nullptr && stop) options.part->save(stats, done);
    if (options.part != nullptr && !stop) options.part->save_now_and_then(stats, done);
    if (!stop) return;
    throw Error(fmt::format("stopped after {} of {} sequences", done, stats.ids.size()),
                options.part != nullptr ? options.part->path() : "",
                options.part != nullptr ? "the same command goes on from there" : "start again");
}

/// A token by the model's own probabilities.
int32_t sample(std::span<const float> logits, std::mt19937_64& rng) {
    const float top = *std::max_element(logits.begin(), logits.end());
    double total = 0;
    for (const float x : logits) total += std::exp(static_cast<double>(x) - top);
    double rest = uniform_unit(rng) * total;
    for (size_t i = 0; i < logits.size(); ++i) {
        rest -= std::exp(static_cast<double>(logits[i]) - top);
        if (rest <= 0) return static_cast<int32_t>(i);
    }
    return static_cast<int32_t>(logits.size() - 1);
}

/// kSampledTogether sequences, from number `first` on. Always so many rows, be they needed or not:
/// a row's last digits depend on how many there are.
template <typename OnStep>
std::vector<std::vector<int32_t>> sample_together(const Model& model,
                                                  const std::shared_ptr<const CacheLayout>& layout,
                                                  PagePool& pool, int64_t length, uint64_t seed,
                                                  int32_t start, int64_t first, OnStep&& on_step) {
    std::vector<SequenceCache> caches;
    std::vector<std::mt19937_64> rngs;
    std::vector<std::vector<int32_t>> sequences(static_cast<size_t>(kSampledTogether), {start});
    for (int64_t s = 0; s < kSampledTogether; ++s) {
        caches.emplace_back(layout, pool);
        rngs.emplace_back(seed * 1000003 + static_cast<uint64_t>(first + s));
    }
    const int64_t vocab = model.config().vocab_size;
    Tensor logits(DType::kF32, {kSampledTogether, vocab});
    for (int64_t t = 1; t < length; ++t) {
        std::vector<SequenceInput> batch;
        for (size_t s = 0; s < caches.size(); ++s) {
            batch.push_back({&caches[s], std::span(sequences[s]).last(1), false});
        }
        const Tensor hidden = model.forward(batch);
        model.logits(hidden.f32().data(), kSampledTogether, logits.f32().data());
        for (const float x : logits.f32()) {
            if (!std::isfinite(x)) {
                throw Error("the model's logits are not finite", "",
                            "the checkpoint is broken: get it again");
            }
        }
        parallel_for(kSampledTogether, [&](int64_t s) {
            const auto row =
                logits.f32().subspan(static_cast<size_t>(s * vocab), static_cast<size_t>(vocab));
            sequences[static_cast<size_t>(s)].push_back(sample(row, rngs[static_cast<size_t>(s)]));
        });
        on_step(t + 1);
    }
    return sequences;
}

}  // namespace

std::vector<std::string> gram_kinds(bool rotary) {
    std::vector<std::string> kinds = {"K", "Q", "V", "O", "K_attended", "Q_attended"};
    if (rotary) kinds.insert(kinds.end(), {"K_rot", "Q_rot"});
    return kinds;
}

CalibrationStats calibrate(const Model& model, const std::vector<std::vector<int32_t>>& sequences,
                           const CalibrationOptions& options) {
    CalibrationStats stats;
    stats.fingerprint = model.fingerprint();
    stats.length = sequences.empty() ? 0 : static_cast<int64_t>(sequences.front().size());
    check_lengths(model, static_cast<int64_t>(sequences.size()), stats.length);
    for (const auto& sequence : sequences) {
        if (static_cast<int64_t>(sequence.size()) != stats.length) {
            throw UsageError("calibration sequences of unequal length", "",
                             "give sequences of one length");
        }
    }
    stats.ids = sequences;
    stats.first_tokens = options.first_tokens;

    GramObserver observer(model, stats);
    const auto layout = dense_layout(model);
    PagePool pool(budgeted(layout->peak_bytes(stats.length, stats.length), options));
    const auto count = static_cast<int64_t>(sequences.size());
    int64_t done = 0;
    if (options.part != nullptr && options.part->done() > 0) {
        done = options.part->done();
        options.part->take_sums(stats);
        Progress::say(fmt::format("goes on after {} of {} sequences", done, count));
    }
    Progress progress("calibrate", count, done);
    const auto begin = std::chrono::steady_clock::now();
    for (auto s = static_cast<size_t>(done); s < sequences.size(); ++s) {
        SequenceCache cache(layout, pool);
        // All at once: attended Grams need the whole sequence's keys.
        const SequenceInput input{&cache, sequences[s], true};
        static_cast<void>(model.forward({&input, 1}, &observer));
        const auto now = static_cast<int64_t>(s) + 1;
        if (now == done + 1) say_time(begin, count - now, stats.length);
        progress.update(now);
        if (now < count) keep_part(options, stats, now);
    }
    observer.symmetrize();
    return stats;
}

std::vector<std::vector<int32_t>> cut_sequences(std::span<const int32_t> tokens, int64_t count,
                                                int64_t length, uint64_t seed,
                                                std::optional<int32_t> bos) {
    const int64_t text = bos ? length - 1 : length;
    const auto available = static_cast<int64_t>(tokens.size());
    if (count < 1 || length < 1)
        throw UsageError("no sequences of no tokens", "", "raise --sequences and --length");
    if (available < text) {
        throw UsageError("the text has " + std::to_string(available) + " tokens, a sequence " +
                             std::to_string(length),
                         "", "give more text, or lower --length");
    }
    if (const int64_t most = std::max<int64_t>(1, available / std::max<int64_t>(1, text));
        count > most) {
        Progress::say(
            fmt::format("the text has {} tokens: {} sequences of {} fit side by side, not {}",
                        available, most, length, count));
        count = most;
    }
    std::mt19937_64 rng(seed);
    const int64_t step = std::max((available - text) / count, text);
    std::vector<std::vector<int32_t>> sequences;
    for (int64_t s = 0; s < count; ++s) {
        int64_t start = s * step;
        if (seed != 0) {
            start = static_cast<int64_t>(
                uniform_below(rng, static_cast<uint64_t>(available - text + 1)));
        }
        std::vector<int32_t>& sequence = sequences.emplace_back();
        if (bos) sequence.push_back(*bos);
        const auto part = tokens.subspan(static_cast<size_t>(start), static_cast<size_t>(text));
        sequence.insert(sequence.end(), part.begin(), part.end());
    }
    return sequences;
}

std::vector<std::vector<int32_t>> sample_sequences(const Model& model, int64_t count,
                                                   int64_t length, uint64_t seed, int32_t start,
                                                   const CalibrationOptions& options) {
    check_lengths(model, count, length);
    const auto layout = dense_layout(model);
    PagePool pool(budgeted(kSampledTogether * layout->peak_bytes(length, 1), options));
    CalibrationStats sampled;
    sampled.length = length;
    if (options.part != nullptr) sampled.ids = options.part->ids();
    auto& sequences = sampled.ids;
    Progress progress("sample", count * length, std::ssize(sequences) * length);
    while (std::ssize(sequences) < count) {
        const auto first = std::ssize(sequences);
        for (auto& sequence :
             sample_together(model, layout, pool, length, seed, start, first, [&](int64_t tokens) {
                 progress.update(
                     std::min(first * length + kSampledTogether * tokens, count * length));
             })) {
            sequences.push_back(std::move(sequence));
        }
        const bool last = std::ssize(sequences) >= count;
        if (last) sequences.resize(static_cast<size_t>(count));
        if (options.part != nullptr) options.part->save(sampled, 0);
        if (!last && options.should_stop && options.should_stop()) {
            throw Error(
                fmt::format("stopped after sampling {} of {} sequences", sequences.size(), count),
                options.part != nullptr ? options.part->path() : "",
                options.part != nullptr ? "the same command goes on from there" : "start again");
        }
    }
    return sequences;
}

}  // namespace lowkey
