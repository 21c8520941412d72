#pragma once

#include <Eigen/Core>

namespace lowkey {

// Eigen's solver, instantiated in one place: it takes a compiler longer than most of our sources.

/// Eigenvalues of a symmetric matrix in ascending order, and its eigenvectors as columns.
struct SymmetricEigen {
    Eigen::VectorXd values;
    Eigen::MatrixXd vectors;
};
SymmetricEigen symmetric_eigen(const Eigen::MatrixXd& symmetric);
/// The eigenvalues alone.
Eigen::VectorXd symmetric_eigenvalues(const Eigen::MatrixXd& symmetric);

}  // namespace lowkey
