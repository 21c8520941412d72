#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "base/phase_times.h"

namespace lowkey {
namespace {

/// NaN is out of every range.
void check_range(const char* name, double value, double low, double high, const char* remedy) {
    if (value >= low && value <= high) return;
    throw UsageError(std::string(name) + " is " + std::to_string(value), "", remedy);
}

constexpr double kLargest = 1e6;
/// Candidates that top_p sorts at first; it doubles as needed. Seldom more than a few hundred of a
/// large vocabulary matter.
constexpr size_t kFirstSorted = 256;

/// Likelier first, then lower ids: a total order, so that sorting is the same everywhere.
constexpr auto kLikelier = [](const auto& a, const auto& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
};

}  // namespace

Sampler::Sampler(const SamplingOptions& options) : options_(options), random_(options.seed) {
    check_range("temperature", options.temperature, 0, kLargest, "give 0 (greedy) or more");
    check_range("top_k", static_cast<double>(options.top_k), 0, 1e18, "give 0 (all) or more");
    check_range("top_p", options.top_p, 0, 1, "give a probability from 0 to 1");
    check_range("min_p", options.min_p, 0, 1, "give a share from 0 to 1");
    check_range("repeat_penalty", options.repeat_penalty, 1e-6, kLargest,
                "give a positive number; 1 is no penalty");
}

int32_t Sampler::sample(std::span<const float> logits, std::span<const int32_t> tokens) {
    const PhaseTimer timer(Phase::kSampling);
    logits_.assign(logits.begin(), logits.end());
    if (options_.repeat_penalty != 1) penalize(tokens);
    size_t best = 0;
    bool finite = !logits_.empty();
    for (size_t i = 0; i < logits_.size(); ++i) {
        finite = finite && logits_[i] < INFINITY;  // NaN is not
        if (logits_[i] > logits_[best]) best = i;
    }
    if (!finite || logits_[best] == -INFINITY) {
        throw Error("the model's logits are not finite", "",
                    "the checkpoint or the plan is broken; try --dtype f32");
    }
    if (options_.temperature == 0) return static_cast<int32_t>(best);

    candidates_.clear();
    const double top = logits_[best];
    for (size_t i = 0; i < logits_.size(); ++i) {
        if (logits_[i] == -INFINITY) continue;
        const double weight =
            std::exp((static_cast<double>(logits_[i]) - top) / options_.temperature);
        candidates_.push_back({static_cast<int32_t>(i), weight});
    }
    keep_top_k();
    keep_top_p();
    keep_min_p();
    return draw();
}

void Sampler::penalize(std::span<const int32_t> tokens) {
    penalized_.assign(logits_.size(), false);
    const auto penalty = static_cast<float>(options_.repeat_penalty);
    for (const int32_t id : tokens) {
        const auto i = static_cast<size_t>(id);
        if (id < 0 || i >= logits_.size() || penalized_[i]) continue;
        penalized_[i] = true;
        logits_[i] = logits_[i] > 0 ? logits_[i] / penalty : logits_[i] * penalty;
    }
}

void Sampler::keep_top_k() {
    if (options_.top_k == 0 || options_.top_k >= static_cast<int64_t>(candidates_.size())) return;
    const auto end = candidates_.begin() + options_.top_k;
    std::partial_sort(candidates_.begin(), end, candidates_.end(), kLikelier);
    candidates_.erase(end, candidates_.end());
}

void Sampler::keep_top_p() {
    if (options_.top_p >= 1) return;
    double total = 0;
    for (const Candidate& c : candidates_) total += c.weight;
    double sum = 0;
    size_t sorted = 0;
    for (size_t i = 0; i < candidates_.size(); ++i) {
        if (i == sorted) {
            sorted = std::min(candidates_.size(), std::max(kFirstSorted, 2 * sorted));
            const auto from = candidates_.begin() + static_cast<std::ptrdiff_t>(i);
            std::partial_sort(from, candidates_.begin() + static_cast<std::ptrdiff_t>(sorted),
                              candidates_.end(), kLikelier);
        }
        sum += candidates_[i].weight;
        if (sum >= options_.top_p * total) {
            candidates_.resize(i + 1);
            return;
        }
    }
}

void Sampler::keep_min_p() {
    if (options_.min_p == 0) return;
    // The likeliest weighs exp(0) = 1 and passes every filter.
    std::erase_if(candidates_, [&](const Candidate& c) { return c.weight < options_.min_p; });
}

int32_t Sampler::draw() {
    double total = 0;
    for (const Candidate& c : candidates_) total += c.weight;
    // 53 random bits: std's distributions differ between libraries.
    double rest = static_cast<double>(random_() >> 11) * 0x1p-53 * total;
    for (const Candidate& c : candidates_) {
        rest -= c.weight;
        if (rest < 0) return c.id;
    }
    return candidates_.back().id;  // rounding
}

}  // namespace lowkey
