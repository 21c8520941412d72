#include "compress/bases.h"

#include <Eigen/SVD>
#include <cmath>
#include <complex>

#include "base/error.h"
#include "compress/output_metric.h"
#include "compress/symmetric_eigen.h"

namespace lowkey {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

MatrixXd gram_of(const CalibrationStats& stats, const std::string& kind, int64_t layer,
                 int64_t head, bool with_first) {
    const Tensor& rest = stats.rest.at(kind);
    const int64_t d = rest.dim(3);
    const int64_t at = (layer * rest.dim(1) + head) * d * d;
    MatrixXd gram = Eigen::Map<const RowMajor>(rest.as<double>().data() + at, d, d);
    if (with_first)
        gram += Eigen::Map<const RowMajor>(stats.first.at(kind).as<double>().data() + at, d, d);
    return gram;
}

struct Eigenpairs {
    VectorXd values;   // descending, not negative
    MatrixXd vectors;  // columns
};

Eigenpairs eigenpairs(const MatrixXd& symmetric) {
    const SymmetricEigen ascending = symmetric_eigen(symmetric);
    return {ascending.values.reverse().cwiseMax(0), ascending.vectors.rowwise().reverse()};
}

const BasisKind& find(const std::vector<BasisKind>& kinds, const std::string& name,
                      const char* flag) {
    std::string known;
    for (const BasisKind& kind : kinds) {
        if (name == kind.name) return kind;
        known += (known.empty() ? "" : ", ") + std::string(kind.name);
    }
    throw UsageError("unknown basis '" + name + "'", flag, "known are " + known);
}

}  // namespace

std::vector<std::vector<HeadGrams>> head_grams(const Model& model, const CalibrationStats& stats,
                                               bool with_first) {
    const ModelConfig& config = model.config();
    std::vector<std::vector<HeadGrams>> layers;
    for (int64_t layer = 0; layer < config.num_layers; ++layer) {
        std::vector<HeadGrams>& heads = layers.emplace_back();
        const std::vector<MatrixXd> metrics = output_metrics(model, layer);  // of query heads
        MatrixXd k_layer = MatrixXd::Zero(config.head_dim, config.head_dim);
        for (int64_t head = 0; head < config.num_kv_heads; ++head) {
            HeadGrams grams;
            grams.k = gram_of(stats, "K", layer, head, with_first);
            grams.q = gram_of(stats, "Q", layer, head, with_first);
            grams.v = gram_of(stats, "V", layer, head, with_first);
            grams.o = gram_of(stats, "O", layer, head, with_first);
            grams.c = grams.q;
            if (model.rotates()) {
                grams.k_rot = gram_of(stats, "K_rot", layer, head, with_first);
                grams.q_rot = gram_of(stats, "Q_rot", layer, head, with_first);
                grams.c = mean_rotated_back(grams.q_rot, *model.rotary(layer), stats.length);
            }
            grams.k_attended = gram_of(stats, "K_attended", layer, head, with_first);
            grams.q_attended = gram_of(stats, "Q_attended", layer, head, with_first);
            grams.wo = MatrixXd::Zero(config.head_dim, config.head_dim);
            for (int64_t g = 0; g < config.group_size(); ++g) {
                grams.wo += metrics[static_cast<size_t>(head * config.group_size() + g)];
            }
            k_layer += grams.k;
            heads.push_back(std::move(grams));
        }
        for (HeadGrams& grams : heads) grams.k_layer = k_layer;
    }
    return layers;
}

MatrixXd mean_rotated_back(const MatrixXd& gram, const RotaryTable& rotary, int64_t length) {
    // With coordinates a and b of pair j as one complex number a + i b, x R_p multiplies it by s
    // e^{i p w_j}; so R_p G R_pᵀ turns row pair j by e^{-i p w_j} and column pair k likewise, and
    // the mean over p needs only the means of e^{i p (±w_j ± w_k)}. Coordinates that do not rotate
    // have w = 0.
    const int64_t d = gram.rows();
    const int64_t pairs = rotary.num_pairs();
    const std::vector<double> frequencies = rope_frequencies(rotary.config());
    const double scale = rotary.config().attention_factor;
    const auto mean_phase = [&](double w) {  // (1 / n) Σ e^{i p w}
        const std::complex<double> ratio = std::polar(1.0, w);
        const std::complex<double> denominator = 1.0 - ratio;
        if (std::abs(denominator) < 1e-9) {
            std::complex<double> sum = 0;
            for (int64_t p = 0; p < length; ++p) sum += std::polar(1.0, w * static_cast<double>(p));
            return sum / static_cast<double>(length);
        }
        return (1.0 - std::polar(1.0, w * static_cast<double>(length))) / denominator /
               static_cast<double>(length);
    };
    // Pair of each coordinate, and whether it is the pair's second.
    std::vector<int64_t> first;
    std::vector<int64_t> second;
    std::vector<double> w;
    std::vector<double> factor;
    std::vector<bool> rotates(static_cast<size_t>(d), false);
    for (int64_t j = 0; j < pairs; ++j) {
        first.push_back(j * rotary.pair_step());
        second.push_back(j * rotary.pair_step() + rotary.pair_offset());
        w.push_back(frequencies[static_cast<size_t>(j)]);
        factor.push_back(scale);
        rotates[static_cast<size_t>(first.back())] = rotates[static_cast<size_t>(second.back())] =
            true;
    }
    // Each lone coordinate is a pair with nothing as its second.
    for (int64_t i = 0; i < d; ++i) {
        if (rotates[static_cast<size_t>(i)]) continue;
        first.push_back(i);
        second.push_back(-1);
        w.push_back(0);
        factor.push_back(1);
    }
    MatrixXd out = MatrixXd::Zero(d, d);
    const auto at = [&](int64_t i, int64_t j) { return i < 0 || j < 0 ? 0.0 : gram(i, j); };
    const auto set = [&](int64_t i, int64_t j, double x) {
        if (i >= 0 && j >= 0) out(i, j) = x;
    };
    for (size_t j = 0; j < first.size(); ++j) {
        for (size_t k = 0; k < first.size(); ++k) {
            const double aa = at(first[j], first[k]);
            const double ab = at(first[j], second[k]);
            const double ba = at(second[j], first[k]);
            const double bb = at(second[j], second[k]);
            // The 2 × 2 block as two complex numbers: x ȳ part (difference of phases) and x y part
            // (sum of phases).
            const std::complex<double> conjugate((aa + bb) / 2, (ba - ab) / 2);
            const std::complex<double> plain((aa - bb) / 2, (ba + ab) / 2);
            const std::complex<double> c =
                conjugate * mean_phase(-(w[j] - w[k])) * factor[j] * factor[k];
            const std::complex<double> p =
                plain * mean_phase(-(w[j] + w[k])) * factor[j] * factor[k];
            set(first[j], first[k], c.real() + p.real());
            set(second[j], second[k], c.real() - p.real());
            set(second[j], first[k], c.imag() + p.imag());
            set(first[j], second[k], p.imag() - c.imag());
        }
    }
    return out;
}

Basis svd_basis(const MatrixXd& gram) {
    const Eigenpairs pairs = eigenpairs(gram);
    return {pairs.vectors, pairs.vectors.transpose(), pairs.values};
}

Basis product_basis(const MatrixXd& gram, const MatrixXd& weight) {
    constexpr double kCut =
        1e-7;  // of the largest singular value: below, the weight's inverse is noise
    const Eigenpairs x = eigenpairs(gram);
    const Eigenpairs b = eigenpairs(weight);
    const VectorXd root = b.values.cwiseSqrt();
    const MatrixXd bt = b.vectors * root.asDiagonal();  // Bᵀ
    VectorXd inverse = VectorXd::Zero(root.size());
    for (Eigen::Index i = 0; i < root.size(); ++i) {
        if (root[i] > kCut * root[0]) inverse[i] = 1 / root[i];
    }
    const MatrixXd product = x.values.cwiseSqrt().asDiagonal() * x.vectors.transpose() * bt;
    const Eigen::JacobiSVD<MatrixXd> svd(product, Eigen::ComputeFullV);
    const MatrixXd& z = svd.matrixV();
    return {bt * z, z.transpose() * inverse.asDiagonal() * b.vectors.transpose(),
            svd.singularValues().cwiseAbs2()};
}

const std::vector<BasisKind>& key_basis_kinds() {
    static const std::vector<BasisKind> kinds = {
        {"keys", "SVD of keys before rotation, per KV head", false, false,
         [](const HeadGrams& g) { return svd_basis(g.k); }},
        {"keys-shared", "the same, one basis for all KV heads of a layer", false, false,
         [](const HeadGrams& g) { return svd_basis(g.k_layer); }},
        {"joint", "SVD of keys and queries stacked, before rotation", false, false,
         [](const HeadGrams& g) { return svd_basis(g.k + g.q); }},
        {"joint-rotated", "the same after rotation: nothing is rebuilt when decoding", true, true,
         [](const HeadGrams& g) { return svd_basis(g.k_rot + g.q_rot); }},
        {"product", "least error of scores, before rotation", false, false,
         [](const HeadGrams& g) { return product_basis(g.k, g.q); }},
        {"product-rotated",
         "least error of scores, after rotation: nothing is rebuilt when decoding", true, true,
         [](const HeadGrams& g) { return product_basis(g.k_rot, g.q_rot); }},
        {"keys-weighted", "before rotation, least error of scores averaged over positions", false,
         false, [](const HeadGrams& g) { return product_basis(g.k, g.c); }},
        {"keys-attended", "before rotation, least error of attention outputs", false, false,
         [](const HeadGrams& g) { return product_basis(g.k_attended, g.q_attended); }},
    };
    return kinds;
}

const std::vector<BasisKind>& value_basis_kinds() {
    static const std::vector<BasisKind> kinds = {
        {"values", "SVD of values", false, false,
         [](const HeadGrams& g) { return svd_basis(g.v); }},
        {"values-wo", "least error of values after the output projection", false, false,
         [](const HeadGrams& g) { return product_basis(g.v, g.wo); }},
        {"values-out", "least error of attention outputs after the output projection", false, false,
         [](const HeadGrams& g) { return product_basis(g.o, g.wo); }},
    };
    return kinds;
}

const BasisKind& find_key_basis(const std::string& name, bool rotary) {
    const BasisKind& kind = find(key_basis_kinds(), name, "--key-basis");
    if (kind.needs_rotation && !rotary) {
        throw UsageError(
            "key basis '" + name + "' needs rotary positions, which this model does not have",
            "--key-basis", "use joint, product or keys");
    }
    return kind;
}

const BasisKind& find_value_basis(const std::string& name) {
    return find(value_basis_kinds(), name, "--value-basis");
}

int64_t rank_for(const VectorXd& energy, double threshold, EnergyKind kind) {
    if (threshold >= 1) return energy.size();
    const VectorXd shares = kind == EnergyKind::kSquared ? energy : VectorXd(energy.cwiseSqrt());
    const double whole = shares.sum();
    double kept = 0;
    for (Eigen::Index r = 0; r < shares.size(); ++r) {
        kept += shares[r];
        if (kept / whole >= threshold) return r + 1;
    }
    return energy.size();
}

}  // namespace lowkey
