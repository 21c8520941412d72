#include "kvcache/token_policy.h"

namespace lowkey {
namespace {

/// Sinks and a window, with or without a token that stands for the rest. Sources: StreamingLLM
/// (arXiv 2309.17453); RazorAttention (arXiv 2407.15891), section 3.3.
class WindowPolicy final : public TokenPolicy {
public:
    explicit WindowPolicy(SpecSettings& settings)
        : sinks_(settings.integer("sinks", 0, 0, kMaxSinks)),
          window_(token_count(settings, "window", 1)),
          compensates_(settings.flag("compensation")),
          reindexes_(settings.flag("reindex")) {}

    [[nodiscard]] int64_t sinks() const override { return sinks_; }
    [[nodiscard]] int64_t window(int64_t prompt_tokens) const override {
        return window_.at(prompt_tokens);
    }
    [[nodiscard]] bool compensates() const override { return compensates_; }
    [[nodiscard]] bool reindexes() const override { return reindexes_; }

private:
    int64_t sinks_;
    TokenCount window_;
    bool compensates_;
    bool reindexes_;
};

}  // namespace

std::shared_ptr<const TokenPolicy> make_window_policy(SpecSettings& settings) {
    return std::make_shared<WindowPolicy>(settings);
}

}  // namespace lowkey
