#include "compress/rank_allocation.h"

#include <algorithm>
#include <queue>

#include "base/error.h"
#include "kernels/kernels.h"

namespace lowkey {
namespace {

/// A head at some number of tiles per page: the ranks that fill it best.
struct Choice {
    double bytes = 0;  // per token
    double loss = 0;
    HeadRanks ranks;
};

/// ranks[R] for R in [2, 2 d]: the split of R coordinates into key and value ranks of least loss,
/// each at least 1.
std::vector<HeadRanks> best_splits(const HeadLoss& head) {
    const auto d = static_cast<int64_t>(head.key.size()) - 1;
    std::vector<HeadRanks> splits(static_cast<size_t>(2 * d + 1));
    for (int64_t total = 2; total <= 2 * d; ++total) {
        double best = -1;
        for (int64_t key = std::max<int64_t>(1, total - d); key <= std::min(d, total - 1); ++key) {
            const double loss =
                head.key[static_cast<size_t>(key)] + head.value[static_cast<size_t>(total - key)];
            if (best < 0 || loss < best) {
                best = loss;
                splits[static_cast<size_t>(total)] = {key, total - key};
            }
        }
    }
    return splits;
}

/// Lower convex hull of loss against bytes, from the fewest bytes up.
std::vector<Choice> hull_of(std::vector<Choice> choices) {
    std::sort(choices.begin(), choices.end(), [](const Choice& a, const Choice& b) {
        return a.bytes != b.bytes ? a.bytes < b.bytes : a.loss < b.loss;
    });
    std::vector<Choice> hull;
    for (const Choice& c : choices) {
        if (!hull.empty() && c.loss >= hull.back().loss) continue;
        while (hull.size() >= 2) {
            const Choice& a = hull[hull.size() - 2];
            const Choice& b = hull.back();
            const bool above =
                (b.loss - a.loss) * (c.bytes - b.bytes) >= (c.loss - b.loss) * (b.bytes - a.bytes);
            if (!above) break;
            hull.pop_back();
        }
        hull.push_back(c);
    }
    return hull;
}

std::vector<Choice> head_choices(const HeadLoss& head, int64_t page_bytes, int64_t element_bytes) {
    const auto d = static_cast<int64_t>(head.key.size()) - 1;
    const std::vector<HeadRanks> splits = best_splits(head);
    std::vector<Choice> choices;
    int64_t last_tiles = -1;
    for (int64_t total = 2 * d; total >= 2; --total) {
        const int64_t tiles = page_bytes / (kTileTokens * element_bytes * total);
        if (tiles == last_tiles) continue;  // fewer coordinates for the same bytes
        last_tiles = tiles;
        const HeadRanks ranks = splits[static_cast<size_t>(total)];
        choices.push_back({page_bytes_per_token(total, page_bytes, element_bytes),
                           head.key[static_cast<size_t>(ranks.key)] +
                               head.value[static_cast<size_t>(ranks.value)],
                           ranks});
    }
    return hull_of(std::move(choices));
}

}  // namespace

double page_bytes_per_token(int64_t coordinates, int64_t page_bytes, int64_t element_bytes) {
    const int64_t tiles = page_bytes / (kTileTokens * element_bytes * coordinates);
    LOWKEY_CHECK(tiles > 0);
    return static_cast<double>(page_bytes) / static_cast<double>(kTileTokens * tiles);
}

std::vector<HeadRanks> allocate_ranks(const std::vector<HeadLoss>& heads, double keep,
                                      int64_t page_bytes, int64_t element_bytes) {
    std::vector<std::vector<Choice>> hulls;
    double budget = 0;
    double used = 0;
    for (const HeadLoss& head : heads) {
        const auto d = static_cast<int64_t>(head.key.size()) - 1;
        hulls.push_back(head_choices(head, page_bytes, element_bytes));
        budget += keep * page_bytes_per_token(2 * d, page_bytes, element_bytes);
        used += hulls.back().front().bytes;
    }
    // The head whose next step up gains most per byte goes first.
    struct Step {
        double gain_per_byte;
        size_t head;
        size_t to;
    };
    const auto worse = [](const Step& a, const Step& b) {
        return a.gain_per_byte != b.gain_per_byte ? a.gain_per_byte < b.gain_per_byte
                                                  : a.head > b.head;
    };
    std::priority_queue<Step, std::vector<Step>, decltype(worse)> steps(worse);
    const auto push = [&](size_t head, size_t to) {
        if (to >= hulls[head].size()) return;
        const Choice& from = hulls[head][to - 1];
        const Choice& next = hulls[head][to];
        steps.push({(from.loss - next.loss) / (next.bytes - from.bytes), head, to});
    };
    std::vector<size_t> at(heads.size(), 0);
    for (size_t h = 0; h < heads.size(); ++h) push(h, 1);
    while (!steps.empty()) {
        const Step step = steps.top();
        steps.pop();
        const double more = hulls[step.head][step.to].bytes - hulls[step.head][at[step.head]].bytes;
        if (used + more > budget) continue;  // a smaller step of another head may still fit
        used += more;
        at[step.head] = step.to;
        push(step.head, step.to + 1);
    }
    std::vector<HeadRanks> ranks;
    for (size_t h = 0; h < heads.size(); ++h) ranks.push_back(hulls[h][at[h]].ranks);
    return ranks;
}

}  // namespace lowkey
