#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "kvcache/plan.h"

namespace lowkey {

/// One setting of a planner: the flag `--name` of `lowkey plan`, its help and its check, a key of
/// the public PlanOptions::settings, and what a plan records to be made again.
struct SettingInfo {
    enum class Type { kFlag, kInteger, kNumber, kText };
    const char* name;
    Type type;
    const char* what;  ///< help, with the unit; defaults that `fallback` does not say stand here
    std::optional<Setting> fallback = {};  ///< where it was not given; none: the planner decides
    double low = 0;                        ///< of numbers
    double high = std::numeric_limits<double>::infinity();
    bool above_low = false;                 ///< `low` itself is refused
    std::vector<std::string> choices = {};  ///< of text; empty: any
};

/// "(0.14)", "(loss, error, energy or uniform; loss)": what the help says of a setting's values.
std::string describe_values(const SettingInfo& info);

/// The settings of one run of a planner: those given, checked against the planner's table, and what
/// was taken for the others. All that was given or read is recorded.
class PlannerSettings {
public:
    /// Throws UsageError for settings that are not in the table, of another type or out of range.
    /// The table must outlive this.
    PlannerSettings(std::string method, const std::vector<SettingInfo>& table,
                    const Settings& given);

    [[nodiscard]] const std::string& method() const { return method_; }
    /// Whether it was given or decided.
    [[nodiscard]] bool has(const std::string& name) const { return values_.count(name) > 0; }
    // The value: given, decided, or the table's fallback, which must be there.
    bool flag(const std::string& name);
    int64_t integer(const std::string& name);
    double number(const std::string& name);
    std::string text(const std::string& name);

    /// Sets what the planner itself decides for a setting that was not given.
    void decide(const std::string& name, Setting value);
    /// integer() that was given or else is `fallback`, within bounds that depend on the model.
    /// Throws UsageError.
    int64_t integer_within(const std::string& name, int64_t fallback, int64_t low, int64_t high);
    /// Throws UsageError when two settings were given that say the same.
    void exclude(const std::string& name, const std::string& other) const;

    /// All that was given, decided or read: given again, they make the same plan.
    [[nodiscard]] const Settings& all() const { return values_; }

private:
    [[nodiscard]] const SettingInfo& info(const std::string& name) const;
    const Setting& value(const std::string& name);

    std::string method_;
    const std::vector<SettingInfo>& table_;
    Settings values_;
};

}  // namespace lowkey
