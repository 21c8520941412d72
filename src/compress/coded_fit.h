#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <vector>

#include "kvcache/plan.h"

namespace lowkey {

/// Vectors whose coordinates are to be coded, as far as one band of them goes: the numbers at
/// `dims` of a vector.
struct FitBand {
    std::vector<int64_t> dims;
    Eigen::MatrixXf samples;  ///< [tokens, dims]
    Eigen::MatrixXd weight;   ///< an error e of the band costs e · weight · eᵀ
};

/// How the coordinates of a head's keys or values are coded.
struct CodedFit {
    CodecSpec spec;         ///< map `linear`, store `coded`; of keys without `space`
    int64_t code_bits = 0;  ///< of a token, without its scale
    /// Coordinates of each band, whole runs.
    std::vector<int64_t> band_coords;
    double loss = 0;  ///< mean cost of an error, on the samples
};

/// Fits map and store for vectors of `dim` numbers: each band's vectors lie along the product basis
/// of their covariance and its weight, about their mean; runs of 8 coordinates of a band share a
/// width, chosen so that at most `budget` bits of codes a token lose least by measured squared
/// error (reverse water-filling); runs of width 0 are left out. At least one run is kept.
CodedFit fit_coded(int64_t dim, const std::vector<FitBand>& bands, int64_t budget);

}  // namespace lowkey
