#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kvcache/plan.h"

namespace lowkey {

/// Reads the settings of a policy or codec and refuses, by name, those that are missing, out of
/// range or unknown. Every function throws UsageError that says whose setting it is and where.
class SpecSettings {
public:
    /// `owner` ("token policy 'window'") and `where` ("layer 3, KV head 1") are for messages. The
    /// settings must outlive this.
    SpecSettings(std::string owner, const Settings& settings, std::string where);

    /// A whole number in [low, high]; `fallback` when absent, which without one is refused.
    int64_t integer(const std::string& name, std::optional<int64_t> fallback, int64_t low,
                    int64_t high);
    /// A number in [low, high]; nullopt when absent.
    std::optional<double> number(const std::string& name, double low, double high);
    /// false when absent.
    bool flag(const std::string& name);
    /// One of `choices`; nullopt when absent.
    std::optional<std::string> choice(const std::string& name,
                                      const std::vector<std::string>& choices);
    /// Refuses settings that nobody read.
    void finish() const;

private:
    [[noreturn]] void refuse(const std::string& name, const std::string& value,
                             const std::string& remedy) const;

    std::string owner_;
    const Settings& settings_;
    std::string where_;
    std::vector<std::string> read_;
};

}  // namespace lowkey
