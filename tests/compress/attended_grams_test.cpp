#include "compress/attended_grams.h"

#include <gtest/gtest.h>

#include <Eigen/Dense>
#include <map>

#include "compress/output_metric.h"
#include "tests/compress/golden.h"

namespace lowkey {
namespace {

using Eigen::MatrixXd;
using test::Golden;

/// Keeps one sequence's q, k, v of every layer, as the forward pass shows them.
class Recorder final : public ForwardObserver {
public:
    explicit Recorder(const ModelConfig& config) : config_(config) {}
    void on_projected(const ObservedTokens& seen) override {
        for (int64_t h = 0; h < config_.num_kv_heads; ++h) {
            keys_before[{seen.layer, h}] = head(seen.k, seen.kv_stride, seen.num_tokens, h);
        }
    }
    void on_rotated(const ObservedTokens& seen) override {
        for (int64_t h = 0; h < config_.num_heads; ++h) {
            q[{seen.layer, h}] = head(seen.q, seen.q_stride, seen.num_tokens, h);
        }
        for (int64_t h = 0; h < config_.num_kv_heads; ++h) {
            k[{seen.layer, h}] = head(seen.k, seen.kv_stride, seen.num_tokens, h);
            v[{seen.layer, h}] = head(seen.v, seen.kv_stride, seen.num_tokens, h);
        }
    }
    using Heads = std::map<std::pair<int64_t, int64_t>, MatrixXd>;
    Heads keys_before, q, k, v;

private:
    [[nodiscard]] MatrixXd head(const float* x, int64_t stride, int64_t num_tokens,
                                int64_t h) const {
        const int64_t d = config_.head_dim;
        return TokenMap(x + h * d, num_tokens, d, Eigen::OuterStride<>(stride)).cast<double>();
    }
    const ModelConfig& config_;
};

/// Every pair, in f64.
struct Expected {
    MatrixXd k_first, k_rest, q_first, q_rest;
};

Expected every_pair(const Model& model, const Recorder& seen, int64_t layer, int64_t kv_head,
                    int64_t num_first) {
    const ModelConfig& config = model.config();
    const int64_t d = config.head_dim;
    const MatrixXd zero = MatrixXd::Zero(d, d);
    Expected out{zero, zero, zero, zero};
    const MatrixXd& k = seen.k.at({layer, kv_head});
    const MatrixXd& before = seen.keys_before.at({layer, kv_head});
    const MatrixXd& v = seen.v.at({layer, kv_head});
    const auto metrics = output_metrics(model, layer);
    for (int64_t h = kv_head * config.group_size(); h < (kv_head + 1) * config.group_size(); ++h) {
        const MatrixXd& q = seen.q.at({layer, h});
        for (Eigen::Index i = 0; i < q.rows(); ++i) {
            Eigen::RowVectorXd a = q.row(i) * k.topRows(i + 1).transpose() / std::sqrt(d);
            for (Eigen::Index j = 0; j <= i && !config.alibi_slopes.empty(); ++j) {
                a[j] -= config.alibi_slopes[static_cast<size_t>(h)] * static_cast<double>(i - j);
            }
            a = (a.array() - a.maxCoeff()).exp();
            a /= a.sum();
            const Eigen::RowVectorXd o = a * v.topRows(i + 1);
            for (Eigen::Index j = 0; j <= i; ++j) {
                const Eigen::RowVectorXd away = v.row(j) - o;
                const double c = a[j] * a[j] * away.dot(away * metrics[static_cast<size_t>(h)]);
                std::vector<float> relative(static_cast<size_t>(d));
                for (int64_t x = 0; x < d; ++x) {
                    relative[static_cast<size_t>(x)] = static_cast<float>(q(i, x));
                }
                if (model.rotates()) model.rotary(layer)->rotate_back(relative.data(), j);
                const Eigen::VectorXd r =
                    Eigen::Map<const Eigen::VectorXf>(relative.data(), d).cast<double>();
                (j < num_first ? out.k_first : out.k_rest) +=
                    c * before.row(j).transpose() * before.row(j);
                (j < num_first ? out.q_first : out.q_rest) += c * r * r.transpose();
            }
        }
    }
    return out;
}

MatrixXd gram(const std::map<std::string, GramSet>& set, const char* kind, int64_t layer,
              int64_t head) {
    const Tensor& grams = set.at(kind);
    const int64_t d = grams.dim(2);
    return Eigen::Map<const MatrixXd>(
        grams.as<double>().data() + (layer * grams.dim(1) + head) * d * d, d, d);
}

double difference(const MatrixXd& a, const MatrixXd& b) { return (a - b).norm() / b.norm(); }

class AttendedGramsOf : public ::testing::TestWithParam<std::string> {};

TEST_P(AttendedGramsOf, CountPairsByWhatTheirErrorsDo) {
    const Golden golden(GetParam());
    const Model& model = *golden.model;
    std::vector<std::vector<int32_t>> ids = {golden.ids("calib.ids").front()};
    constexpr int64_t kFirst = 3;
    const CalibrationStats stats = calibrate(model, ids, {.first_tokens = kFirst});

    Recorder seen(model.config());
    Engine engine(golden.model,
                  CachePlan::dense(model.config().num_layers, model.config().num_kv_heads));
    const auto cache = engine.new_sequence();
    const SequenceInput input{cache.get(), ids.front(), true};
    static_cast<void>(model.forward({&input, 1}, &seen));
    for (int64_t layer = 0; layer < model.config().num_layers; ++layer) {
        for (int64_t head = 0; head < model.config().num_kv_heads; ++head) {
            const Expected all = every_pair(model, seen, layer, head, kFirst);
            EXPECT_LT(difference(gram(stats.first, "K_attended", layer, head), all.k_first), 1e-4);
            EXPECT_LT(difference(gram(stats.rest, "K_attended", layer, head), all.k_rest), 1e-4);
            EXPECT_LT(difference(gram(stats.first, "Q_attended", layer, head), all.q_first), 1e-4);
            // A sample of the pairs, but all of their weight.
            const MatrixXd rest = gram(stats.rest, "Q_attended", layer, head);
            EXPECT_NEAR(rest.trace() / all.q_rest.trace(), 1, 1e-4);
            EXPECT_LT(difference(rest, all.q_rest), 0.1);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Models, AttendedGramsOf, ::testing::ValuesIn(test::golden_names()),
                         [](const auto& about) { return test::test_name(about.param); });

}  // namespace
}  // namespace lowkey
