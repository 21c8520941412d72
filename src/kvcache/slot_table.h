#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kvcache/token_policy.h"

namespace lowkey {

/// Which tokens stand in the slots of a body that selects, and the attention that each got so far.
/// Slots are dense and in any order. The vectors themselves are the caller's to move.
class SlotTable {
public:
    /// What a policy decided: nothing has changed yet.
    struct Choice {
        struct Move {
            int64_t from;
            int64_t to;
        };
        std::vector<Move> moves;        ///< of kept tokens into the slots of those that leave
        std::vector<int64_t> entering;  ///< indices of arriving tokens that may enter
        int64_t size = 0;               ///< slots that are left
        std::vector<int32_t> order;     ///< of those, after the moves, by position
    };

    [[nodiscard]] int64_t size() const { return static_cast<int64_t>(positions_.size()); }
    /// [size()], by slot.
    [[nodiscard]] std::span<const int32_t> positions() const { return positions_; }
    /// The slot of a position; -1: none.
    [[nodiscard]] int64_t find(int64_t position) const;

    /// A new slot, for a token behind all others.
    void push(int64_t position, double attention);
    /// Lets a policy choose: `cached` is the attention that the slots got in this step, `arriving`
    /// the same of tokens that follow them, from position `first_arriving` on.
    [[nodiscard]] Choice choose(const TokenPolicy& policy, std::span<const double> cached,
                                std::span<const double> arriving, int64_t first_arriving,
                                bool prompt, int64_t prompt_tokens) const;
    void apply(Choice& choice, std::span<const double> cached) noexcept;

    /// `keeps_old`: what is here may change before the step ends; otherwise slots are only added.
    void begin_step(bool keeps_old);
    void rollback() noexcept;

private:
    std::vector<int32_t> positions_;
    std::vector<double> attention_;
    std::vector<int32_t> order_;  // slots by position

    struct Saved {
        bool whole = false;
        size_t size = 0;
        std::vector<int32_t> positions;
        std::vector<double> attention;
        std::vector<int32_t> order;
    };
    Saved saved_;
};

}  // namespace lowkey
