#include "compress/rank_contest.h"

#include <utility>

#include "base/progress.h"
#include "compress/divergence.h"

namespace lowkey {

RankContest::RankContest(std::shared_ptr<const Model> model,
                         const std::vector<std::vector<int32_t>>& sequences, MakeHead make_head)
    : sequences_(sequences),
      runner_(std::move(model), sequences),
      make_head_(std::move(make_head)) {}

bool RankContest::enter(const std::string& name, const std::vector<HeadRanks>& ranks) {
    const CachePlan plan = make_plan(runner_.dense(), ranks, make_head_);
    Tensor hidden = runner_.embed();
    Progress progress("try " + name, runner_.num_layers());
    for (int64_t layer = 0; layer < runner_.num_layers(); ++layer) {
        runner_.run(layer, plan.layers[static_cast<size_t>(layer)], hidden);
        progress.update(layer + 1);
    }
    const double nll = mean_nll(runner_.model(), hidden, sequences_);
    entries_.push_back({{"ranks", name}, {"nll", nll}});
    if (!best_.empty() && !(nll < nll_)) return false;
    nll_ = nll;
    best_ = ranks;
    return true;
}

}  // namespace lowkey
