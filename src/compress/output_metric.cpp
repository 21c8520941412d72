#include "compress/output_metric.h"

namespace lowkey {

std::vector<Eigen::MatrixXd> output_metrics(const Model& model, int64_t layer) {
    const ModelConfig& config = model.config();
    const Tensor w =
        model.weights().layers[static_cast<size_t>(layer)].o->weight_f32();  // [hidden, H d]
    const Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>
        all(w.f32().data(), w.dim(0), w.dim(1));
    std::vector<Eigen::MatrixXd> metrics;
    for (int64_t head = 0; head < config.num_heads; ++head) {
        const Eigen::MatrixXd part =
            all.middleCols(head * config.head_dim, config.head_dim).cast<double>();
        metrics.emplace_back(part.transpose() * part);
    }
    return metrics;
}

}  // namespace lowkey
