#include "compress/coded_fit.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>

#include "base/error.h"
#include "compress/bases.h"
#include "kernels/coded.h"

namespace lowkey {
namespace {

using Eigen::MatrixXd;
using Eigen::MatrixXf;
using Eigen::VectorXd;

// Tokens on which the errors of all widths are measured; steps are chosen on all.
constexpr int64_t kWidthTokens = 1024;
// Steps that are tried, as multiples of the one that suits a Gaussian.
constexpr double kStepFactors[] = {0.7, 0.78, 0.86, 0.93, 1.0, 1.08, 1.17, 1.28, 1.42, 1.6};
constexpr double kLeastWeight = 1e-3;  // of a direction, as a share of the mean one

std::shared_ptr<Tensor> zeros(int64_t rows, int64_t cols) {
    auto tensor = std::make_shared<Tensor>(DType::kF32, Shape{rows, cols});
    std::fill(tensor->f32().begin(), tensor->f32().end(), 0.0f);
    return tensor;
}

/// A band's coordinates, padded with nothing to whole runs.
struct BandCoords {
    VectorXd mean;
    MatrixXd encode;  // [dims, padded]
    MatrixXd decode;  // [padded, dims]
    MatrixXf coords;  // [tokens, padded]
};

BandCoords find_coords(const FitBand& band) {
    const int64_t size = std::ssize(band.dims);
    const int64_t padded = (size + kRunCoords - 1) / kRunCoords * kRunCoords;
    const auto tokens = static_cast<double>(band.samples.rows());
    BandCoords out;
    const MatrixXd samples = band.samples.cast<double>();
    out.mean = samples.colwise().sum().transpose() / tokens;
    const MatrixXd centred = samples.rowwise() - out.mean.transpose();
    const double ridge = kLeastWeight * band.weight.trace() / static_cast<double>(size);
    const MatrixXd weight =
        band.weight + MatrixXd::Identity(size, size) * (ridge > 0 ? ridge : 1.0);
    const Basis basis = product_basis(centred.transpose() * centred / tokens, weight);
    out.encode = MatrixXd::Zero(size, padded);
    out.decode = MatrixXd::Zero(padded, size);
    out.encode.leftCols(size) = basis.encode;
    out.decode.topRows(size) = basis.decode;
    out.coords = (centred * out.encode).cast<float>();
    return out;
}

/// Mean of factor[t]² · (what coding z[t] in a width with a step loses)².
double coding_loss(const float* z, const std::vector<float>& factor, int64_t stride, int width,
                   double step) {
    const auto levels = coded_levels(width);
    double sum = 0;
    int64_t count = 0;
    for (size_t t = 0; t < factor.size(); t += static_cast<size_t>(stride), ++count) {
        const auto x = static_cast<float>(z[t] / step);
        const double error =
            factor[t] * step * (static_cast<double>(x) - levels[coded_nearest(width, x)]);
        sum += error * error;
    }
    return sum / static_cast<double>(count);
}

/// Coordinates of all bands side by side.
struct Coords {
    MatrixXf values;  // [tokens, coords]
    std::vector<double> sigma;
    std::vector<float> scale;  // of each token, as it will be stored

    [[nodiscard]] int64_t count() const { return values.cols(); }

    /// A token's scale is the mean length of the coordinates in `kept`, each in its deviation.
    void find_scales(const std::vector<int64_t>& kept) {
        scale.assign(static_cast<size_t>(values.rows()), 1.0f);
        for (int64_t t = 0; t < values.rows(); ++t) {
            double squares = 0;
            for (const int64_t i : kept) {
                const double x = values(t, i) / sigma[static_cast<size_t>(i)];
                squares += x * x;
            }
            const double length = std::sqrt(squares / static_cast<double>(kept.size()));
            scale[static_cast<size_t>(t)] =
                coded_scale(coded_nearest_scale(static_cast<float>(length)));
        }
    }
    void find_sigmas() {
        sigma.assign(static_cast<size_t>(count()), 0.0);
        for (int64_t i = 0; i < count(); ++i) {
            double squares = 0;
            for (int64_t t = 0; t < values.rows(); ++t) {
                const double x =
                    scale.empty() ? values(t, i) : values(t, i) / scale[static_cast<size_t>(t)];
                squares += x * x;
            }
            // A coordinate that is always 0 has a step all the same.
            sigma[static_cast<size_t>(i)] =
                std::max(std::sqrt(squares / static_cast<double>(values.rows())), 1e-20);
        }
    }
    /// z of one coordinate, [tokens].
    [[nodiscard]] std::vector<float> scaled(int64_t i) const {
        std::vector<float> z(scale.size());
        for (size_t t = 0; t < z.size(); ++t) z[t] = values(static_cast<int64_t>(t), i) / scale[t];
        return z;
    }
};

using RunLosses = std::vector<std::vector<double>>;  // [run][width 0..8]

/// Widths that lose least within a budget of bits for a coordinate of each run: what one multiplier
/// gives, and what is left goes where it saves most.
std::vector<int> choose_widths(const RunLosses& losses, int64_t budget) {
    const auto pick = [&](double lambda) {
        std::vector<int> widths;
        for (const auto& loss : losses) {
            int best = 0;
            for (int b = 1; b <= kMaxWidth; ++b) {
                const auto cost = [&](int width) {
                    return loss[static_cast<size_t>(width)] + lambda * width;
                };
                if (cost(b) < cost(best)) best = b;
            }
            widths.push_back(best);
        }
        return widths;
    };
    const auto total = [](const std::vector<int>& widths) {
        return std::accumulate(widths.begin(), widths.end(), int64_t{0});
    };
    double low = 0;
    double high = 1e-30;
    for (const auto& loss : losses) high = std::max(high, loss.front());
    if (total(pick(low)) > budget) {
        for (int i = 0; i < 100; ++i) {
            const double middle = (low + high) / 2;
            (total(pick(middle)) > budget ? low : high) = middle;
        }
        low = high;
    }
    std::vector<int> widths = pick(low);
    for (int64_t left = budget - total(widths); left > 0;) {
        size_t best = losses.size();
        int bits = 0;
        double most = 0;
        for (size_t r = 0; r < losses.size(); ++r) {
            for (int b = widths[r] + 1; b <= kMaxWidth && b - widths[r] <= left; ++b) {
                const double saved = (losses[r][static_cast<size_t>(widths[r])] -
                                      losses[r][static_cast<size_t>(b)]) /
                                     (b - widths[r]);
                if (saved <= most) continue;
                most = saved;
                best = r;
                bits = b - widths[r];
            }
        }
        if (best == losses.size()) break;
        widths[best] += bits;
        left -= bits;
    }
    return widths;
}

}  // namespace

CodedFit fit_coded(int64_t dim, const std::vector<FitBand>& bands, int64_t budget) {
    CodedFit fit;
    std::vector<BandCoords> parts;
    Coords coords;
    int64_t count = 0;
    for (const FitBand& band : bands) {
        parts.push_back(find_coords(band));
        count += parts.back().coords.cols();
    }
    coords.values.resize(bands.front().samples.rows(), count);
    for (int64_t at = 0; const BandCoords& part : parts) {
        coords.values.middleCols(at, part.coords.cols()) = part.coords;
        at += part.coords.cols();
    }
    std::vector<int64_t> all(static_cast<size_t>(count));
    std::iota(all.begin(), all.end(), 0);
    coords.find_sigmas();
    coords.find_scales(all);
    coords.find_sigmas();

    // Widths, on some of the tokens.
    const int64_t stride = std::max<int64_t>(1, coords.values.rows() / kWidthTokens);
    RunLosses losses(static_cast<size_t>(count / kRunCoords),
                     std::vector<double>(kMaxWidth + 1, 0.0));
    for (int64_t i = 0; i < count; ++i) {
        auto& run = losses[static_cast<size_t>(i / kRunCoords)];
        run[0] += coords.values.col(i).cast<double>().squaredNorm() /
                  static_cast<double>(coords.values.rows());
        const std::vector<float> z = coords.scaled(i);
        for (int b = 1; b <= kMaxWidth; ++b) {
            run[static_cast<size_t>(b)] +=
                coding_loss(z.data(), coords.scale, stride, b,
                            coords.sigma[static_cast<size_t>(i)] / coded_sigma(b));
        }
    }
    std::vector<int> widths = choose_widths(losses, budget / kRunCoords);
    if (*std::max_element(widths.begin(), widths.end()) == 0) widths.front() = 1;

    // Steps, on all. A band's widest runs come first.
    std::vector<int64_t> kept;
    for (int64_t first = 0; const BandCoords& part : parts) {
        std::vector<int64_t> runs(static_cast<size_t>(part.coords.cols() / kRunCoords));
        std::iota(runs.begin(), runs.end(), first / kRunCoords);
        std::stable_sort(runs.begin(), runs.end(), [&](int64_t a, int64_t b) {
            return widths[static_cast<size_t>(a)] > widths[static_cast<size_t>(b)];
        });
        int64_t own = 0;
        for (const int64_t run : runs) {
            if (widths[static_cast<size_t>(run)] == 0) continue;
            for (int64_t i = 0; i < kRunCoords; ++i) kept.push_back(run * kRunCoords + i);
            own += kRunCoords;
        }
        fit.band_coords.push_back(own);
        first += part.coords.cols();
    }
    coords.find_scales(kept);
    coords.find_sigmas();
    const int64_t rank = std::ssize(kept);
    const auto width_tensor = zeros(1, rank / kRunCoords);
    const auto steps = zeros(1, rank);
    const auto mean = zeros(1, dim);
    const auto encode = zeros(dim, rank);
    const auto decode = zeros(rank, dim);
    double own_squares = 0;  // of coordinates in their deviations, and in their steps
    double step_squares = 0;
    for (int64_t c = 0; c < rank; ++c) {
        const int64_t i = kept[static_cast<size_t>(c)];
        const int width = widths[static_cast<size_t>(i / kRunCoords)];
        const double sigma = coords.sigma[static_cast<size_t>(i)];
        const std::vector<float> z = coords.scaled(i);
        double best = std::numeric_limits<double>::infinity();
        double factor = 1;
        for (const double tried : kStepFactors) {
            const double loss =
                coding_loss(z.data(), coords.scale, 1, width, tried * sigma / coded_sigma(width));
            if (loss >= best) continue;
            best = loss;
            factor = tried;
        }
        fit.loss += best;
        steps->f32()[static_cast<size_t>(c)] =
            static_cast<float>(factor * sigma / coded_sigma(width));
        own_squares += 1;
        step_squares += 1 / (factor * factor);
        if (c % kRunCoords == 0) {
            width_tensor->f32()[static_cast<size_t>(c / kRunCoords)] = static_cast<float>(width);
            fit.code_bits += width * kRunCoords;
        }
    }
    for (size_t run = 0; run < losses.size(); ++run) {
        if (widths[run] == 0) fit.loss += losses[run][0];
    }

    int64_t first = 0;
    int64_t c = 0;
    for (size_t b = 0; b < bands.size(); ++b) {
        const BandCoords& part = parts[b];
        for (const int64_t end = c + fit.band_coords[b]; c < end; ++c) {
            const int64_t own = kept[static_cast<size_t>(c)] - first;
            for (size_t j = 0; j < bands[b].dims.size(); ++j) {
                const int64_t i = bands[b].dims[j];
                const auto row = static_cast<int64_t>(j);
                encode->f32()[static_cast<size_t>(i * rank + c)] =
                    static_cast<float>(part.encode(row, own));
                decode->f32()[static_cast<size_t>(c * dim + i)] =
                    static_cast<float>(part.decode(own, row));
            }
        }
        for (size_t j = 0; j < bands[b].dims.size(); ++j)
            mean->f32()[static_cast<size_t>(bands[b].dims[j])] =
                static_cast<float>(part.mean(static_cast<int64_t>(j)));
        first += part.coords.cols();
    }
    fit.spec.map = {"linear", {}, {{"encode", encode}, {"decode", decode}, {"mean", mean}}};
    fit.spec.store = {"coded",
                      {{"token_scale", std::sqrt(own_squares / step_squares)}},
                      {{"widths", width_tensor}, {"steps", steps}}};
    return fit;
}

}  // namespace lowkey
