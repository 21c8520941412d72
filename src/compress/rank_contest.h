#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "compress/loss_model.h"

namespace lowkey {

/// Lets ranks compete on text: those with the least mean negative log-likelihood of the next token,
/// every token attended to as the cache would hold it, win.
class RankContest {
public:
    /// `sequences` must outlive the contest.
    RankContest(std::shared_ptr<const Model> model,
                const std::vector<std::vector<int32_t>>& sequences, MakeHead make_head);

    /// Whether these ranks [layer · num_kv_heads + head] are the best so far; the first always are.
    /// Draws a progress line.
    bool enter(const std::string& name, const std::vector<HeadRanks>& ranks);

    [[nodiscard]] const std::vector<HeadRanks>& best() const { return best_; }
    /// Of the best, in nats.
    [[nodiscard]] double nll() const { return nll_; }
    /// All that entered: [{"ranks": name, "nll": nats}].
    [[nodiscard]] const nlohmann::json& entries() const { return entries_; }

private:
    const std::vector<std::vector<int32_t>>& sequences_;
    LayerRunner runner_;
    MakeHead make_head_;
    std::vector<HeadRanks> best_;
    double nll_ = 0;
    nlohmann::json entries_ = nlohmann::json::array();
};

}  // namespace lowkey
