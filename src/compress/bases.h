#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <string>
#include <vector>

#include "compress/calibration.h"
#include "model/model.h"

namespace lowkey {

/// All low-rank forms of one head's keys or values: with rank r a vector x is cached as c = x ·
/// encode[:, :r] and stands for x' = c · decode[:r, :]. What rank r loses, in the measure that the
/// basis minimises, is the sum of energy[r:].
struct Basis {
    Eigen::MatrixXd encode;  ///< [d, d]
    Eigen::MatrixXd decode;  ///< [d, d]
    Eigen::VectorXd energy;  ///< [d], squared singular values, descending
};

/// What a basis is made of: Grams of one KV head, f64 [d, d].
struct HeadGrams {
    Eigen::MatrixXd k, q, v, o;
    Eigen::MatrixXd k_attended, q_attended;  ///< weighted pairs, see AttendedGrams
    Eigen::MatrixXd k_rot, q_rot;            ///< empty without rotary positions
    Eigen::MatrixXd k_layer;                 ///< K summed over the layer's KV heads
    Eigen::MatrixXd c;   ///< score weight of keys before rotation: mean over positions p of R_p G
                         ///< R_pᵀ, G = q_rot
    Eigen::MatrixXd wo;  ///< Σ over the group's query heads of Wo_h Wo_hᵀ
};

/// The Grams of all heads [layer][kv_head]; `with_first` includes those of the first tokens.
std::vector<std::vector<HeadGrams>> head_grams(const Model& model, const CalibrationStats& stats,
                                               bool with_first);

/// Mean over positions p in [0, length) of R_p G R_pᵀ, where rotating a row vector x to position p
/// is x R_p.
Eigen::MatrixXd mean_rotated_back(const Eigen::MatrixXd& gram, const RotaryTable& rotary,
                                  int64_t length);

/// SVD of the vectors whose Gram this is. Source: Eigen Attention (arXiv 2408.05646), section 3.1.
Basis svd_basis(const Eigen::MatrixXd& gram);
/// The oblique projection of every rank that minimises ‖X (I - M) W^½‖_F, XᵀX = gram, W = weight:
/// with AᵀA = gram and BᵀB = weight, the SVD A Bᵀ = U S Zᵀ gives encode Bᵀ Z, decode Zᵀ B⁻ᵀ and
/// energies S².
Basis product_basis(const Eigen::MatrixXd& gram, const Eigen::MatrixXd& weight);

/// A kind of key or value basis, by name.
struct BasisKind {
    const char* name;
    const char* what;     ///< for --help
    bool needs_rotation;  ///< made of rotated vectors
    bool after_rotation;  ///< keys: of which keys the coordinates are taken
    Basis (*make)(const HeadGrams& grams);
};
const std::vector<BasisKind>& key_basis_kinds();
const std::vector<BasisKind>& value_basis_kinds();
/// Throws UsageError naming the known ones; `rotary` whether the model has rotary positions.
const BasisKind& find_key_basis(const std::string& name, bool rotary);
const BasisKind& find_value_basis(const std::string& name);

/// Which share of what an energy threshold refers to.
enum class EnergyKind { kSquared, kSingular };
/// Smallest rank r >= 1 whose kept share of the squared singular values (or of the singular values)
/// is at least `threshold`; everything from 1 on. Source: Eigen Attention (arXiv 2408.05646),
/// section 3.1.
int64_t rank_for(const Eigen::VectorXd& energy, double threshold, EnergyKind kind);

}  // namespace lowkey
