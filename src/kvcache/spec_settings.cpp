#include "kvcache/spec_settings.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace lowkey {

SpecSettings::SpecSettings(std::string owner, const Settings& settings, std::string where)
    : owner_(std::move(owner)), settings_(settings), where_(std::move(where)) {}

int64_t SpecSettings::integer(const std::string& name, std::optional<int64_t> fallback, int64_t low,
                              int64_t high) {
    read_.push_back(name);
    const auto given = integer_setting(settings_, name, where_);
    if (!given && !fallback)
        throw UsageError(owner_ + " has no setting '" + name + "'", where_, "make the plan again");
    const int64_t value = given ? *given : *fallback;
    if (value < low || value > high) {
        refuse(name, std::to_string(value),
               "use " + std::to_string(low) + " to " + std::to_string(high));
    }
    return value;
}

std::optional<double> SpecSettings::number(const std::string& name, double low, double high) {
    read_.push_back(name);
    const auto given = number_setting(settings_, name, where_);
    if (given && !(*given >= low && *given <= high)) {
        refuse(name, std::to_string(*given),
               "use " + std::to_string(low) + " to " + std::to_string(high));
    }
    return given;
}

bool SpecSettings::flag(const std::string& name) {
    read_.push_back(name);
    return bool_setting(settings_, name, where_).value_or(false);
}

std::optional<std::string> SpecSettings::choice(const std::string& name,
                                                const std::vector<std::string>& choices) {
    read_.push_back(name);
    auto given = string_setting(settings_, name, where_);
    if (given && std::find(choices.begin(), choices.end(), *given) == choices.end()) {
        std::string known;
        for (const std::string& choice : choices) known += (known.empty() ? "" : " or ") + choice;
        refuse(name, "'" + *given + "'", "use " + known);
    }
    return given;
}

void SpecSettings::finish() const {
    for (const auto& [name, value] : settings_) {
        if (std::find(read_.begin(), read_.end(), name) != read_.end()) continue;
        throw UsageError(owner_ + " has a setting '" + name + "' that this lowkey does not know",
                         where_, "make the plan again with this lowkey");
    }
}

void SpecSettings::refuse(const std::string& name, const std::string& value,
                          const std::string& remedy) const {
    throw UsageError("setting '" + name + "' of " + owner_ + " is " + value, where_, remedy);
}

}  // namespace lowkey
