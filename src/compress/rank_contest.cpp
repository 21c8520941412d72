#include "compress/rank_contest.h"

#include <utility>

#include "base/progress.h"
#include "compress/divergence.h"

namespace lowkey {

RankContest::RankContest(std::shared_ptr<const Model> model,
                         const std::vector<std::vector<int32_t>>& sequences, MakeHead make_head,
                         MeasurementJournal& journal)
    : sequences_(sequences),
      runner_(std::move(model), sequences),
      make_head_(std::move(make_head)),
      journal_(journal) {}

const ReferenceDistributions& RankContest::reference() {
    if (reference_ == nullptr) {
        Tensor hidden = runner_.embed();
        runner_.run_from(0, runner_.dense(), hidden);
        constexpr int64_t kRows = 512;  // whose whole distributions are kept
        const int64_t stride = (hidden.dim(0) + kRows - 1) / kRows;
        reference_ = std::make_unique<ReferenceDistributions>(runner_.model(), hidden, stride);
    }
    return *reference_;
}

Tensor RankContest::run(const std::string& label, const std::vector<HeadRanks>& ranks) {
    const CachePlan plan = make_plan(runner_.dense(), ranks, make_head_);
    Tensor hidden = runner_.embed();
    Progress progress(label, runner_.num_layers());
    for (int64_t layer = 0; layer < runner_.num_layers(); ++layer) {
        runner_.run(layer, plan.layers[static_cast<size_t>(layer)], hidden);
        progress.update(layer + 1);
    }
    return hidden;
}

bool RankContest::enter(const std::string& name, const std::vector<HeadRanks>& ranks) {
    std::optional<Tensor> hidden;
    const double kl = journal_.value("divergence of " + name, [&] {
        const ReferenceDistributions& exact = reference();
        hidden = run("try " + name, ranks);
        return exact.mean_kl(*hidden);
    });
    entries_.push_back({{"ranks", name}, {"kl", kl}});
    if (!best_.empty() && !(kl < kl_)) return false;
    kl_ = kl;
    best_ = ranks;
    best_hidden_ = std::move(hidden);
    return true;
}

double RankContest::nll() {
    return journal_.value("likelihood of the best", [&] {
        if (!best_hidden_) best_hidden_ = run("run the best", best_);
        return mean_nll(runner_.model(), *best_hidden_, sequences_);
    });
}

}  // namespace lowkey
