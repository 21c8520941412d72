#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "eval/items.h"
#include "eval/side_by_side.h"

namespace lowkey {

// How caches score a window of text: what `eval perplexity` and `compare` both ask.

/// Scores of a window, means over its targets, in nats. All but the first are against a reference
/// cache, and only there with one.
namespace window_score {
inline constexpr char kNll[] = "nll";
inline constexpr char kReferenceNll[] = "reference_nll";
inline constexpr char kChange[] = "change";                 ///< nll - reference's, per target
inline constexpr char kChangeSquared[] = "change_squared";  ///< mean square of that
inline constexpr char kKl[] = "kl";                         ///< KL(reference || cache)
inline constexpr char kSameFirst[] = "same_first";  ///< share where both rank one token first
}  // namespace window_score

/// Names of a window's scores. `kl_tail`: so many of its largest divergences, too.
std::vector<std::string> window_score_names(bool with_reference, int64_t kl_tail = 0);

/// How many of the largest of n values there are from the one that 99.9 % do not exceed.
int64_t tail_of(int64_t count);
/// That one: of windows that were scored with this `kl_tail`.
double tail_value(std::span<const ItemResult> windows, int64_t kl_tail);

/// Standard error of a mean of `count` values, given the mean of their squares; 0 of one value.
double error_of_mean(double mean, double mean_square, int64_t count);

/// One window as it runs.
struct ScoredWindow {
    std::vector<int32_t> tokens;
    int64_t prefill = 0;       ///< tokens of the prompt, those in front of the window included
    int64_t first_scored = 0;  ///< row whose logits are the first to be scored

    /// `prefill` absent: all of the window is a prompt, and targets 1 to length - 1 are scored. N:
    /// tokens [0, N) are a prompt, the others are decoded one by one through the cache, and targets
    /// N + 1 to length - 1 are scored. `bos` stands in front of either, beyond the window's length.
    /// Throws UsageError when no target is left.
    ScoredWindow(std::span<const int32_t> window, std::optional<int64_t> prefill,
                 std::optional<int32_t> bos = {});

    [[nodiscard]] int64_t length() const { return std::ssize(tokens); }
    [[nodiscard]] int64_t targets() const { return length() - 1 - first_scored; }
};

/// How windows are put to caches.
struct WindowRun {
    Stepping stepping = Stepping::kAlone;
    /// Index of the engine that the others are held against, and itself.
    std::optional<size_t> reference = {};
    int64_t kl_tail = 0;  ///< see window_score_names()
    /// Hears of the tokens of a window that are done, of all engines together.
    std::function<void(int64_t tokens)> on_tokens = {};
};

/// Each engine's scores of a window, and its cache at the end. Memory beside the caches: the rows
/// of the last layer's output that are scored, and two blocks of logits. Throws Error when logits
/// are not finite.
std::vector<ItemResult> score_window(std::span<Engine* const> engines, const ScoredWindow& window,
                                     const WindowRun& how);

}  // namespace lowkey
