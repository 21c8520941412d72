#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "compress/calibration.h"
#include "compress/plan_file.h"
#include "engine/engine.h"
#include "lowkey/model.h"
#include "lowkey/plan.h"
#include "lowkey/session.h"
#include "lowkey/statistics.h"
#include "model/model.h"
#include "tokenizer/tokenizer.h"

// What stands behind the public classes. In this folder `Model` is lowkey's own and `api::Model`
// what users hold; other names likewise.

namespace lowkey::api {

/// A loaded model.
struct Model::Impl {
    std::shared_ptr<const lowkey::Model> model;
    std::shared_ptr<const Tokenizer> tokenizer;  ///< null where the directory has none
    ModelInfo info;

    /// Throws UnsupportedError where there is none.
    [[nodiscard]] const Tokenizer& need_tokenizer() const;
};

/// Calibration statistics.
struct Statistics::Impl {
    CalibrationStats stats;
    std::shared_ptr<const lowkey::Model> model;  ///< whose they are
};

/// A plan as its file holds it.
struct Plan::Impl {
    PlanFile file;
};

/// Opens public objects to this folder.
struct Access {
    static const api::Model::Impl& impl(const api::Model& model) { return *model.impl_; }
    static const std::shared_ptr<const lowkey::Model>& model(const api::Model& model) {
        return model.impl_->model;
    }
    static const CalibrationStats& stats(const Statistics& statistics) {
        return statistics.impl_->stats;
    }
    static const PlanFile& file(const Plan& plan) { return plan.impl_->file; }
    static Plan plan(PlanFile file) {
        return Plan(std::make_unique<Plan::Impl>(Plan::Impl{std::move(file)}));
    }
    static const std::shared_ptr<const Tensor>& tensor(const Matrix& matrix) {
        return matrix.tensor_;
    }
    static Matrix matrix(std::shared_ptr<const Tensor> tensor) { return Matrix(std::move(tensor)); }
};

/// An engine that runs the model under the plan, once both are known to fit.
Engine make_engine(const api::Model& model, const Plan& plan, const EngineOptions& options);
/// Throws UsageError for ids outside the vocabulary, before anything is computed.
void check_ids(const api::Model& model, std::span<const int32_t> ids);
/// Throws UsageError unless value is in [low, high].
void check_range(const char* name, int64_t value, int64_t low, int64_t high);
/// Silences progress lines unless set_progress() was called.
void be_quiet_by_default();

}  // namespace lowkey::api
