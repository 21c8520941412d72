#include "compress/attended_grams.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/parallel.h"
#include "compress/output_metric.h"
#include "kernels/kernels.h"

namespace lowkey {
namespace {

constexpr int64_t kQuantiles = 8;  // keys that a query is rotated to

TokenMap token_map(const float* x, int64_t stride, int64_t num_tokens, int64_t dim) {
    return {x, num_tokens, dim, Eigen::OuterStride<>(stride)};
}

/// x √weight, so that its outer product counts `weight` times.
void scale_row(const float* x, int64_t dim, double weight, float* out) {
    const auto root = static_cast<float>(std::sqrt(weight));
    for (int64_t i = 0; i < dim; ++i) out[i] = x[i] * root;
}

}  // namespace

/// What one query head adds, so that heads of a group run in parallel.
struct AttendedGrams::HeadSums {
    std::vector<double> key_counts;    // [num_tokens]: Σ over queries of c
    std::vector<double> first_q;       // [d, d]
    std::vector<double> rest_q;        // [d, d]
    std::vector<float> first_queries;  // rows that wait for their outer products
    std::vector<float> rest_queries;
};

/// One query head: its queries and keys after rotation and its values, [num_tokens, head_dim].
struct AttendedGrams::Head {
    Head(const TokenMap& queries, const TokenMap& keys, const TokenMap& values,
         const TokenMatrix& output_metric, const ScoreRules& score_rules,
         const RotaryTable* rotary_table)
        : q(queries),
          k(keys),
          v(values),
          metric(output_metric),
          rules(score_rules),
          rotary(rotary_table) {
        multiply(v, metric, false, 1, vm);
        vv = (vm.array() * v.array()).rowwise().sum();
    }
    TokenMap q;
    TokenMap k;
    TokenMap v;
    const TokenMatrix& metric;
    ScoreRules rules;
    const RotaryTable* rotary;  // null without rotary positions
    TokenMatrix vm;             // v M
    Eigen::VectorXf vv;         // [num_tokens]: v M vᵀ
};

AttendedGrams::AttendedGrams(const Model& model, CalibrationStats& stats)
    : model_(model), stats_(stats) {
    for (int64_t layer = 0; layer < model.config().num_layers; ++layer) {
        std::vector<TokenMatrix>& heads = metrics_.emplace_back();
        for (const Eigen::MatrixXd& metric : output_metrics(model, layer)) {
            heads.emplace_back(metric.cast<float>());
        }
    }
}

void AttendedGrams::keep_keys(const ObservedTokens& seen) {
    LOWKEY_CHECK(seen.first_position == 0);
    const int64_t width = model_.config().num_kv_heads * model_.config().head_dim;
    keys_.clear();
    for (int64_t t = 0; t < seen.num_tokens; ++t) {
        const float* row = seen.k + t * seen.kv_stride;
        keys_.insert(keys_.end(), row, row + width);
    }
}

void AttendedGrams::add(const ObservedTokens& seen) {
    const ModelConfig& config = model_.config();
    const int64_t d = config.head_dim;
    const auto square = static_cast<size_t>(d * d);
    std::vector<HeadSums> sums(static_cast<size_t>(config.num_heads));
    parallel_for_dynamic(config.num_heads, [&](int64_t head, int) {
        HeadSums& mine = sums[static_cast<size_t>(head)];
        mine.key_counts.assign(static_cast<size_t>(seen.num_tokens), 0);
        mine.first_q.assign(square, 0);
        mine.rest_q.assign(square, 0);
        const int64_t kv = head / config.group_size() * d;
        const Head vectors(token_map(seen.q + head * d, seen.q_stride, seen.num_tokens, d),
                           token_map(seen.k + kv, seen.kv_stride, seen.num_tokens, d),
                           token_map(seen.v + kv, seen.kv_stride, seen.num_tokens, d),
                           metrics_[static_cast<size_t>(seen.layer)][static_cast<size_t>(head)],
                           score_rules(config, seen.layer, head), model_.rotary(seen.layer).get());
        for (int64_t row = 0; row < seen.num_tokens; row += kBlockRows) {
            add_rows(vectors, row, std::min(kBlockRows, seen.num_tokens - row), mine);
        }
    });
    const int64_t first = std::min(stats_.first_tokens, seen.num_tokens);
    parallel_for(config.num_kv_heads, [&](int64_t kv_head) {
        const auto at = static_cast<size_t>(seen.layer * config.num_kv_heads + kv_head) * square;
        const auto gram = [&](std::map<std::string, GramSet>& set, const char* kind) {
            return set.at(kind).as<double>().data() + at;
        };
        std::vector<double> counts(static_cast<size_t>(seen.num_tokens), 0);
        for (int64_t g = 0; g < config.group_size(); ++g) {
            const HeadSums& head = sums[static_cast<size_t>(kv_head * config.group_size() + g)];
            for (size_t t = 0; t < counts.size(); ++t) counts[t] += head.key_counts[t];
            for (size_t i = 0; i < square; ++i) {
                gram(stats_.first, "Q_attended")[i] += head.first_q[i];
                gram(stats_.rest, "Q_attended")[i] += head.rest_q[i];
            }
        }
        std::vector<float> weighted(static_cast<size_t>(seen.num_tokens * d));
        for (int64_t t = 0; t < seen.num_tokens; ++t) {
            scale_row(keys_.data() + (t * config.num_kv_heads + kv_head) * d, d,
                      counts[static_cast<size_t>(t)], weighted.data() + t * d);
        }
        kernels().gram_f64(weighted.data(), d, first, d, gram(stats_.first, "K_attended"));
        kernels().gram_f64(weighted.data() + first * d, d, seen.num_tokens - first, d,
                           gram(stats_.rest, "K_attended"));
    });
}

void AttendedGrams::add_rows(const Head& head, int64_t first_row, int64_t num_rows,
                             HeadSums& sums) const {
    const int64_t d = model_.config().head_dim;
    TokenMatrix c = attention_probabilities(head.q, head.k, head.rules, first_row, num_rows);

    // ‖(v - o) Wo‖² = v M vᵀ - 2 o M vᵀ + o M oᵀ, M the head's metric.
    const int64_t seen = c.cols();
    TokenMatrix o;
    multiply(c, head.v.topRows(seen), false, 1, o);
    const Eigen::VectorXf oo = ((o * head.metric).array() * o.array()).rowwise().sum();
    TokenMatrix distance;
    multiply(o, head.vm.topRows(seen), true, -2, distance);
    distance.rowwise() += head.vv.head(seen).transpose();
    distance.colwise() += oo;
    c = c.array().square() * distance.array().max(0);

    sums.first_queries.clear();
    sums.rest_queries.clear();
    for (int64_t r = 0; r < num_rows; ++r) {
        const float* row = c.row(r).data();
        for (int64_t j = 0; j <= first_row + r; ++j) {
            sums.key_counts[static_cast<size_t>(j)] += row[j];
        }
        add_queries(head, first_row + r, row, sums);
    }
    const auto outer = [&](const std::vector<float>& rows, std::vector<double>& gram) {
        kernels().gram_f64(rows.data(), d, static_cast<int64_t>(rows.size()) / d, d, gram.data());
    };
    outer(sums.first_queries, sums.first_q);
    outer(sums.rest_queries, sums.rest_q);
}

void AttendedGrams::add_queries(const Head& head, int64_t token, const float* counts,
                                HeadSums& sums) const {
    const int64_t d = model_.config().head_dim;
    const int64_t num_keys = token + 1;
    const auto relative_to = [&](int64_t key, double weight, std::vector<float>& rows) {
        rows.resize(rows.size() + static_cast<size_t>(d));
        float* row = rows.data() + rows.size() - d;
        scale_row(head.q.row(token).data(), d, weight, row);
        if (head.rotary != nullptr) head.rotary->rotate_back(row, key);
    };
    const int64_t first = std::min(stats_.first_tokens, num_keys);
    for (int64_t j = 0; j < first; ++j) {
        if (counts[j] > 0) relative_to(j, counts[j], sums.first_queries);
    }
    const double total = std::accumulate(counts + first, counts + num_keys, 0.0);
    if (!(total > 0)) return;
    double passed = 0;
    int64_t quantile = 0;
    for (int64_t j = first; j < num_keys && quantile < kQuantiles; ++j) {
        passed += counts[j];
        int64_t hits = 0;
        while (quantile + hits < kQuantiles &&
               passed * kQuantiles >= (static_cast<double>(quantile + hits) + 0.5) * total) {
            ++hits;
        }
        if (hits > 0) {
            relative_to(j, total * static_cast<double>(hits) / kQuantiles, sums.rest_queries);
        }
        quantile += hits;
    }
}

}  // namespace lowkey
