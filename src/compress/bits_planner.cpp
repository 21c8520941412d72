#include "compress/bits_planner.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "compress/bases.h"
#include "compress/coded_fit.h"
#include "compress/head_samples.h"
#include "compress/layer_runner.h"
#include "kernels/coded.h"

namespace lowkey {
namespace {

using Eigen::MatrixXd;

constexpr int64_t kSampledTokens = 4096;
constexpr int64_t kScaleBits = 4;  // of a token

/// Which keys are projected: see `space` of the map `linear`.
enum class KeySpace { kInBlock, kBeforeRotation, kAfterRotation };

struct BitsSettings {
    double key_bits = 0;
    double value_bits = 0;
    int64_t exact_sinks = 0;
    int64_t exact_recent = 0;
    KeySpace space = KeySpace::kInBlock;
    int64_t fast_planes = 0;
    int64_t fast_span = 16;
    int64_t slow_span = 128;
};

BitsSettings read_settings(PlannerSettings& given, const Model& model) {
    BitsSettings s;
    if (model.config().head_dim % kRunCoords != 0) {
        throw UnsupportedError("heads of " + std::to_string(model.config().head_dim) +
                                   " numbers cannot be coded in runs of " +
                                   std::to_string(kRunCoords),
                               "--bits", "use --keep");
    }
    const double bits = given.has("bits") ? given.number("bits") : 0;
    const auto own = [&](const char* name) {
        if (given.has(name)) return given.number(name);
        if (bits == 0) {
            throw UsageError("how many bits keys and values take", "--method eigen",
                             "give --bits, or both --key-bits and --value-bits");
        }
        return bits;
    };
    s.key_bits = own("key-bits");
    s.value_bits = own("value-bits");
    s.exact_sinks = given.integer("exact-sinks");
    if (!given.has("exact-recent")) given.decide("exact-recent", int64_t{32});
    s.exact_recent = given.integer("exact-recent");
    if (!model.rotates()) {
        s.space = KeySpace::kAfterRotation;
        return s;
    }
    if (!given.has("key-space")) given.decide("key-space", std::string("in-block"));
    const std::string space = given.text("key-space");
    if (space == "in-block") {
        const int64_t planes = model.rotary(0)->num_pairs();
        constexpr int64_t kRunPlanes = kRunCoords / 2;
        s.fast_planes = given.integer_within("fast-planes",
                                             planes * 3 / 8 / kRunPlanes * kRunPlanes, 0, planes);
        if (s.fast_planes % kRunPlanes != 0) {
            throw UsageError("fast planes are no whole runs of coordinates",
                             "--fast-planes " + std::to_string(s.fast_planes),
                             "use a multiple of " + std::to_string(kRunPlanes));
        }
        s.fast_span = given.integer("fast-span");
        s.slow_span = given.integer("slow-span");
    } else {
        s.space = space == "before-rotation" ? KeySpace::kBeforeRotation : KeySpace::kAfterRotation;
    }
    return s;
}

class BitsPlanner {
public:
    BitsPlanner(const PlanRequest& request, const BitsSettings& settings)
        : model_(*request.model),
          s_(settings),
          config_(model_.config()),
          samples_(sample_heads(model_, first_sequences(request.stats->ids, kSampledTokens),
                                s_.exact_sinks)),
          grams_(head_grams(model_, *request.stats, s_.exact_sinks == 0)) {
        if (samples_.num_tokens() < 2) {
            throw UsageError("statistics of too few tokens", "--stats",
                             "calibrate on longer sequences");
        }
    }

    std::pair<PlanFile, nlohmann::json> make() {
        PlanFile file;
        file.fingerprint = model_.fingerprint();
        file.head_dim = config_.head_dim;
        const int64_t heads = config_.num_kv_heads;
        for (int64_t layer = 0; layer < config_.num_layers; ++layer)
            file.plan.layers.emplace_back(static_cast<size_t>(heads));
        std::vector<double> key_bits(static_cast<size_t>(config_.num_layers * heads));
        std::vector<double> value_bits = key_bits;
        Progress progress("fit codes", config_.num_layers);
        for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
            parallel_for_dynamic(heads, [&](int64_t head, int) {
                const auto at = static_cast<size_t>(layer * heads + head);
                file.plan.layers[static_cast<size_t>(layer)][static_cast<size_t>(head)] =
                    make_head(layer, head, key_bits[at], value_bits[at]);
            });
            progress.update(layer + 1);
        }
        nlohmann::json layers = nlohmann::json::array();
        double sum = 0;
        for (size_t at = 0; at < key_bits.size(); at += static_cast<size_t>(heads)) {
            const auto of_layer = [&](const std::vector<double>& bits) {
                nlohmann::json out = nlohmann::json::array();
                for (size_t h = 0; h < static_cast<size_t>(heads); ++h) {
                    out.push_back(bits[at + h]);
                    sum += bits[at + h];
                }
                return out;
            };
            nlohmann::json row = {{"key_bits", of_layer(key_bits)}};
            row["value_bits"] = of_layer(value_bits);
            layers.push_back(std::move(row));
        }
        return {std::move(file),
                {{"bits", sum / static_cast<double>(2 * key_bits.size())},
                 {"layers", std::move(layers)}}};
    }

private:
    HeadPlan make_head(int64_t layer, int64_t head, double& key_bits, double& value_bits) const {
        const auto d = static_cast<double>(config_.head_dim);
        const auto budget = [&](double bits) {
            return std::max<int64_t>(kRunCoords, std::llround(bits * d) - kScaleBits);
        };
        const auto per_number = [&](const CodedFit& fit) {
            return static_cast<double>(fit.code_bits + kScaleBits) / d;
        };
        const CodedFit key = fit_key(layer, head, budget(s_.key_bits));
        // Widths are of runs: what keys could not use is the values'.
        const int64_t left = budget(s_.key_bits) - key.code_bits;
        const CodedFit value =
            fit_value(layer, head, budget(s_.value_bits) + std::max<int64_t>(0, left));
        key_bits = per_number(key);
        value_bits = per_number(value);
        HeadPlan plan;
        plan.key = key.spec;
        plan.value = value.spec;
        plan.exact_sinks = s_.exact_sinks;
        plan.exact_recent = s_.exact_recent;
        return plan;
    }

    [[nodiscard]] const HeadGrams& grams(int64_t layer, int64_t head) const {
        return grams_[static_cast<size_t>(layer)][static_cast<size_t>(head)];
    }

    /// All numbers of sampled vectors.
    [[nodiscard]] FitBand whole_band(const std::vector<float>& samples,
                                     const MatrixXd& weight) const {
        const int64_t d = config_.head_dim;
        FitBand band;
        for (int64_t i = 0; i < d; ++i) band.dims.push_back(i);
        band.samples =
            Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
                samples.data(), samples_.num_tokens(), d);
        band.weight = weight;
        return band;
    }

    [[nodiscard]] CodedFit fit_value(int64_t layer, int64_t head, int64_t budget) const {
        const auto& samples =
            samples_.values[static_cast<size_t>(layer)][static_cast<size_t>(head)];
        return fit_coded(config_.head_dim, {whole_band(samples, grams(layer, head).wo)}, budget);
    }

    [[nodiscard]] CodedFit fit_key(int64_t layer, int64_t head, int64_t budget) const {
        const auto& samples = samples_.keys[static_cast<size_t>(layer)][static_cast<size_t>(head)];
        const HeadGrams& own = grams(layer, head);
        if (model_.rotary(layer) == nullptr)
            return fit_coded(config_.head_dim, {whole_band(samples, own.q_attended)}, budget);
        if (s_.space == KeySpace::kBeforeRotation) {
            CodedFit fit =
                fit_coded(config_.head_dim, {whole_band(samples, own.q_attended)}, budget);
            fit.spec.map.settings["space"] = std::string("before_rotation");
            return fit;
        }
        if (s_.space == KeySpace::kAfterRotation) {
            const RotaryTable& rotary = *model_.rotary(layer);
            std::vector<float> rotated = samples;
            for (int64_t t = 0; t < samples_.num_tokens(); ++t)
                rotary.rotate(rotated.data() + t * config_.head_dim,
                              samples_.positions[static_cast<size_t>(t)]);
            return fit_coded(config_.head_dim, {whole_band(rotated, own.q_rot)}, budget);
        }
        return fit_in_blocks(*model_.rotary(layer), samples, own.q_attended, budget);
    }

    [[nodiscard]] CodedFit fit_in_blocks(const RotaryTable& rotary,
                                         const std::vector<float>& samples, const MatrixXd& weight,
                                         int64_t budget) const {
        const int64_t planes = rotary.num_pairs();
        const int64_t fast = std::min(s_.fast_planes, planes);
        std::vector<FitBand> bands;
        const bool any_slow = fast < planes || 2 * planes < config_.head_dim;
        if (fast > 0) bands.push_back(block_band(rotary, samples, weight, 0, fast, s_.fast_span));
        if (any_slow)
            bands.push_back(block_band(rotary, samples, weight, fast, planes, s_.slow_span));
        CodedFit fit = fit_coded(config_.head_dim, bands, budget);
        fit.spec.map.settings = {{"space", std::string("in_block")},
                                 {"fast_planes", fast},
                                 {"fast_span", s_.fast_span},
                                 {"fast_coordinates", fast > 0 ? fit.band_coords.front() : 0},
                                 {"slow_span", s_.slow_span}};
        return fit;
    }

    /// Planes [first, end) of keys, and what does not rotate with the last of them, as they stand
    /// in blocks of `span` tokens.
    [[nodiscard]] FitBand block_band(const RotaryTable& rotary, const std::vector<float>& samples,
                                     const MatrixXd& weight, int64_t first, int64_t end,
                                     int64_t span) const {
        const int64_t d = config_.head_dim;
        FitBand band;
        for (int64_t j = first; j < end; ++j) band.dims.push_back(j * rotary.pair_step());
        for (int64_t j = first; j < end; ++j)
            band.dims.push_back(j * rotary.pair_step() + rotary.pair_offset());
        if (end == rotary.num_pairs()) {
            for (int64_t i = 2 * end; i < d; ++i) band.dims.push_back(i);
        }
        const auto size = std::ssize(band.dims);
        const int64_t planes = end - first;
        band.samples.resize(samples_.num_tokens(), size);
        for (int64_t t = 0; t < samples_.num_tokens(); ++t) {
            const float* key = samples.data() + t * d;
            const int64_t offset =
                (samples_.positions[static_cast<size_t>(t)] - s_.exact_sinks) % span;
            for (int64_t i = 0; i < size; ++i)
                band.samples(t, i) = key[band.dims[static_cast<size_t>(i)]];
            for (int64_t j = 0; j < planes; ++j) {
                const float cos = rotary.cos(offset)[first + j];
                const float sin = rotary.sin(offset)[first + j];
                const float a = band.samples(t, j);
                const float b = band.samples(t, planes + j);
                band.samples(t, j) = a * cos - b * sin;
                band.samples(t, planes + j) = b * cos + a * sin;
            }
        }
        // The queries' weight turns like the keys that they meet.
        MatrixXd part(size, size);
        for (int64_t i = 0; i < size; ++i) {
            for (int64_t k = 0; k < size; ++k)
                part(i, k) =
                    weight(band.dims[static_cast<size_t>(i)], band.dims[static_cast<size_t>(k)]);
        }
        band.weight = MatrixXd::Zero(size, size);
        for (int64_t offset = 0; offset < span; ++offset) {
            MatrixXd turned = part;
            for (const bool rows : {true, false}) {
                for (int64_t j = 0; j < planes; ++j) {
                    const double cos = rotary.cos(offset)[first + j];
                    const double sin = rotary.sin(offset)[first + j];
                    for (int64_t k = 0; k < size; ++k) {
                        double& a = rows ? turned(j, k) : turned(k, j);
                        double& b = rows ? turned(planes + j, k) : turned(k, planes + j);
                        const double x = a;
                        a = x * cos - b * sin;
                        b = b * cos + x * sin;
                    }
                }
            }
            band.weight += turned / static_cast<double>(span);
        }
        return band;
    }

    const Model& model_;
    BitsSettings s_;
    const ModelConfig& config_;
    HeadSamples samples_;
    std::vector<std::vector<HeadGrams>> grams_;
};

}  // namespace

PlanFile make_bits_plan(const PlanRequest& request, PlannerSettings& given) {
    for (const char* other : {"keep", "error-budget", "energy-threshold"}) {
        given.exclude("bits", other);
        given.exclude("key-bits", other);
    }
    const BitsSettings settings = read_settings(given, *request.model);
    auto [file, measured] = BitsPlanner(request, settings).make();
    file.plan.prefill_attention = request.prefill_attention.value_or(PrefillAttention::kCompressed);
    finish_plan(file, request, given, std::move(measured));
    return file;
}

}  // namespace lowkey
