#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lowkey {

/// Finds the first stop string in text that comes in pieces, and holds text back as long as it may
/// be the beginning of one. A stop string itself is never given out.
class StopStrings {
public:
    /// Throws UsageError for strings that are empty or no UTF-8.
    explicit StopStrings(std::vector<std::string> stop);

    /// Text that has become certain with this piece; may be empty, and is once one was found.
    std::string push(std::string_view piece);
    /// What was held back, when no more text comes.
    std::string finish();
    /// Whether a stop string came; from then on no text is given out.
    [[nodiscard]] bool found() const { return found_; }

private:
    std::vector<std::string> stop_;
    std::string held_;
    bool found_ = false;
};

}  // namespace lowkey
