#include "compress/retrieval_scores.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <string>

#include "base/error.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/random.h"
#include "compress/attention_rows.h"
#include "compress/symmetric_eigen.h"

namespace lowkey {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

/// Adds up echo and induction attention of every head as the sequence passes.
class RetrievalObserver final : public ForwardObserver {
public:
    RetrievalObserver(const ModelConfig& config, int64_t prefix, int64_t period,
                      RetrievalScores& scores)
        : config_(config),
          prefix_(prefix),
          period_(period),
          scores_(scores),
          progress_("score heads", config.num_layers) {}

    void on_rotated(const ObservedTokens& seen) override {
        LOWKEY_CHECK(seen.first_position == 0);
        const auto layer = static_cast<size_t>(seen.layer);
        scores_.echo[layer].resize(static_cast<size_t>(config_.num_heads));
        scores_.induction[layer].resize(static_cast<size_t>(config_.num_heads));
        parallel_for_dynamic(config_.num_heads, [&](int64_t head, int) {
            score(seen, head, scores_.echo[layer][static_cast<size_t>(head)],
                  scores_.induction[layer][static_cast<size_t>(head)]);
        });
        progress_.update(seen.layer + 1);
    }

private:
    void score(const ObservedTokens& seen, int64_t head, double& echo, double& induction) const {
        const int64_t d = config_.head_dim;
        const TokenMap q(seen.q + head * d, seen.num_tokens, d,
                         Eigen::OuterStride<>(seen.q_stride));
        const TokenMap k(seen.k + head / config_.group_size() * d, seen.num_tokens, d,
                         Eigen::OuterStride<>(seen.kv_stride));
        const ScoreRules rules = score_rules(config_, seen.layer, head);
        for (int64_t first = prefix_ + period_; first < seen.num_tokens; first += kBlockRows) {
            const int64_t rows = std::min(kBlockRows, seen.num_tokens - first);
            const TokenMatrix p = attention_probabilities(q, k, rules, first, rows);
            for (int64_t r = 0; r < rows; ++r) {
                const int64_t row = first + r;
                for (int64_t j = prefix_ + (row - prefix_) % period_; j < row; j += period_) {
                    echo += static_cast<double>(p(r, j));
                    induction += static_cast<double>(p(r, j + 1));
                }
            }
        }
        const auto counted = static_cast<double>(seen.num_tokens - prefix_ - period_);
        echo /= counted;
        induction /= counted;
    }

    const ModelConfig& config_;
    int64_t prefix_;
    int64_t period_;
    RetrievalScores& scores_;
    Progress progress_;
};

/// W Wᵀ of one head's rows of a projection, [head_dim, head_dim].
MatrixXd row_gram(const Tensor& weight, int64_t head, int64_t head_dim) {
    const auto columns = weight.dim(1);
    const Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>
        rows(weight.f32().data() + head * head_dim * columns, head_dim, columns);
    const MatrixXd wide = rows.cast<double>();
    return wide * wide.transpose();
}

/// ‖Wqᵀ Wk‖₂ from the Grams of their rows: its squared singular values are the eigenvalues of
/// (Wq Wqᵀ)^½ (Wk Wkᵀ) (Wq Wqᵀ)^½.
double product_norm(const MatrixXd& q_gram, const MatrixXd& k_gram) {
    const SymmetricEigen q = symmetric_eigen(q_gram);
    const MatrixXd root =
        q.vectors * q.values.cwiseMax(0).cwiseSqrt().asDiagonal() * q.vectors.transpose();
    const VectorXd values = symmetric_eigenvalues(root * k_gram * root);
    return std::sqrt(std::max(0.0, values.maxCoeff()));
}

double squared_norm(const std::vector<float>& x) {
    double sum = 0;
    for (const float v : x) sum += static_cast<double>(v) * v;
    return sum;
}

/// The square of how long the input of a layer's projections is taken to be.
double squared_input(const Norm& norm, const ModelConfig& config, AlibiBound form) {
    const double bias = squared_norm(norm.bias);
    if (form != AlibiBound::kRigorous) return squared_norm(norm.weight) + bias;
    double largest = 0;
    for (const float v : norm.weight) largest = std::max(largest, static_cast<double>(std::abs(v)));
    const double length =
        std::sqrt(static_cast<double>(config.hidden_size)) * largest + std::sqrt(bias);
    return length * length;
}

}  // namespace

std::vector<int32_t> random_tokens(int64_t count, int64_t vocab_size, uint64_t seed) {
    if (count < 1 || count > vocab_size) {
        throw UsageError(std::to_string(count) + " different random tokens", "--random-tokens",
                         "the vocabulary has " + std::to_string(vocab_size));
    }
    std::vector<int32_t> ids(static_cast<size_t>(vocab_size));
    std::iota(ids.begin(), ids.end(), 0);
    std::mt19937_64 rng(seed);
    for (int64_t i = 0; i < count; ++i) {
        const auto left = static_cast<uint64_t>(vocab_size - i);
        std::swap(ids[static_cast<size_t>(i)],
                  ids[static_cast<size_t>(i) + uniform_below(rng, left)]);
    }
    ids.resize(static_cast<size_t>(count));
    return ids;
}

RetrievalScores score_retrieval(const Model& model, const std::vector<int32_t>& ids,
                                int64_t repeats, const std::vector<int32_t>& prefix) {
    if (ids.empty() || repeats < 2) {
        throw UsageError(
            std::to_string(ids.size()) + " tokens, " + std::to_string(repeats) + " times over", "",
            "give at least one token and two repeats");
    }
    const auto period = static_cast<int64_t>(ids.size());
    if (period > (model.max_context() - std::ssize(prefix)) / repeats) {
        throw UsageError(std::to_string(period) + " tokens, " + std::to_string(repeats) +
                             " times over, do not fit the context of " +
                             std::to_string(model.max_context()),
                         "", "lower --random-tokens");
    }
    std::vector<int32_t> tokens = prefix;
    for (int64_t i = 0; i < repeats; ++i) tokens.insert(tokens.end(), ids.begin(), ids.end());

    const ModelConfig& config = model.config();
    RetrievalScores scores;
    scores.echo.resize(static_cast<size_t>(config.num_layers));
    scores.induction.resize(static_cast<size_t>(config.num_layers));
    RetrievalObserver observer(config, std::ssize(prefix), period, scores);
    const auto count = static_cast<int64_t>(tokens.size());
    const auto layout = std::make_shared<const CacheLayout>(
        CachePlan::dense(config.num_layers, config.num_kv_heads), model.cache_shape());
    PagePool pool(layout->peak_bytes(count, count));
    SequenceCache cache(layout, pool);
    const SequenceInput input{&cache, tokens, true};
    static_cast<void>(model.forward({&input, 1}, &observer));
    return scores;
}

std::vector<std::vector<double>> alibi_bounds(const Model& model, AlibiBound form, double epsilon) {
    const ModelConfig& config = model.config();
    LOWKEY_CHECK(!config.alibi_slopes.empty());
    std::vector<std::vector<double>> bounds;
    for (const LayerWeights& layer : model.weights().layers) {
        const double size = squared_input(layer.attention_norms.before, config, form);
        const Tensor q = layer.q->weight_f32();
        const Tensor k = layer.k->weight_f32();
        std::vector<double>& heads = bounds.emplace_back();
        for (int64_t head = 0; head < config.num_heads; ++head) {
            double bound = product_norm(row_gram(q, head, config.head_dim),
                                        row_gram(k, head / config.group_size(), config.head_dim)) *
                           size;
            if (form != AlibiBound::kPaper) bound *= config.softmax_scale;
            const double slope = config.alibi_slopes[static_cast<size_t>(head)];
            heads.push_back((2 * bound - std::log(epsilon)) / slope);
        }
    }
    return bounds;
}

}  // namespace lowkey
