#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "compress/loss_model.h"

namespace lowkey {

/// Lets ranks compete on text: those win whose next-token distributions diverge least from the
/// uncompressed model's, every token attended to as the cache would hold it. (Likelihoods differ by
/// luck where little is lost.)
class RankContest {
public:
    /// `sequences` and the journal, to which divergences go, must outlive the contest.
    RankContest(std::shared_ptr<const Model> model,
                const std::vector<std::vector<int32_t>>& sequences, MakeHead make_head,
                MeasurementJournal& journal);

    /// Whether these ranks [layer · num_kv_heads + head] are the best so far; the first always are.
    /// Draws a progress line.
    bool enter(const std::string& name, const std::vector<HeadRanks>& ranks);

    [[nodiscard]] const std::vector<HeadRanks>& best() const { return best_; }
    /// Of the best, in nats: mean Kullback-Leibler divergence, and mean negative log-likelihood
    /// (computed here).
    [[nodiscard]] double kl() const { return kl_; }
    [[nodiscard]] double nll();
    /// All that entered: [{"ranks": name, "kl": nats}].
    [[nodiscard]] const nlohmann::json& entries() const { return entries_; }

private:
    const ReferenceDistributions& reference();
    /// The last layer's output of all tokens under a plan of these ranks.
    Tensor run(const std::string& label, const std::vector<HeadRanks>& ranks);

    const std::vector<std::vector<int32_t>>& sequences_;
    LayerRunner runner_;
    MakeHead make_head_;
    MeasurementJournal& journal_;
    std::unique_ptr<ReferenceDistributions> reference_;
    std::vector<HeadRanks> best_;
    std::optional<Tensor> best_hidden_;  ///< run()'s of the best, where they were run here
    double kl_ = 0;
    nlohmann::json entries_ = nlohmann::json::array();
};

}  // namespace lowkey
