#include "compress/symmetric_eigen.h"

#include <Eigen/Eigenvalues>

namespace lowkey {

namespace {

using Solver = Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>;

}  // namespace

SymmetricEigen symmetric_eigen(const Eigen::MatrixXd& symmetric) {
    const Solver solver(symmetric);
    return {solver.eigenvalues(), solver.eigenvectors()};
}

Eigen::VectorXd symmetric_eigenvalues(const Eigen::MatrixXd& symmetric) {
    return Solver(symmetric, Eigen::EigenvaluesOnly).eigenvalues();
}

}  // namespace lowkey
