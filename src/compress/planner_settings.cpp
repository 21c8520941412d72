#include "compress/planner_settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace lowkey {
namespace {

[[noreturn]] void refuse(const SettingInfo& info, const std::string& what,
                         const std::string& remedy) {
    throw UsageError(what, fmt::format("--{}", info.name), remedy);
}

std::string range_of(const SettingInfo& info) {
    const bool bounded = std::isfinite(info.high);
    if (info.above_low)
        return fmt::format("above {:g}{}", info.low,
                           bounded ? fmt::format(" and up to {:g}", info.high) : "");
    return bounded ? fmt::format("{:g} to {:g}", info.low, info.high)
                   : fmt::format("at least {:g}", info.low);
}

void check_number(const SettingInfo& info, double x, const std::string& shown) {
    const bool in =
        std::isfinite(x) && (info.above_low ? x > info.low : x >= info.low) && x <= info.high;
    if (!in) refuse(info, shown + " is out of range", "give a number " + range_of(info));
}

/// The value as the type that the table says. Throws UsageError when it has another.
Setting checked(const SettingInfo& info, const Setting& given) {
    switch (info.type) {
        case SettingInfo::Type::kFlag:
            if (!std::holds_alternative<bool>(given))
                refuse(info, "expected true or false", "give it as a flag");
            return given;
        case SettingInfo::Type::kInteger: {
            const auto* x = std::get_if<int64_t>(&given);
            if (x == nullptr) refuse(info, "expected a whole number", "give one");
            check_number(info, static_cast<double>(*x), fmt::format("{}", *x));
            return given;
        }
        case SettingInfo::Type::kNumber: {
            const auto* whole = std::get_if<int64_t>(&given);
            const auto* x = std::get_if<double>(&given);
            if (whole == nullptr && x == nullptr) refuse(info, "expected a number", "give one");
            const double value = x != nullptr ? *x : static_cast<double>(*whole);
            check_number(info, value, fmt::format("{}", value));
            return value;
        }
        case SettingInfo::Type::kText:
            break;
    }
    const auto* text = std::get_if<std::string>(&given);
    if (text == nullptr) refuse(info, "expected text", "give some");
    const auto& choices = info.choices;
    if (!choices.empty() && std::find(choices.begin(), choices.end(), *text) == choices.end()) {
        refuse(info, fmt::format("unknown value '{}'", *text),
               fmt::format("known are {}", fmt::join(choices, ", ")));
    }
    return given;
}

}  // namespace

std::string describe_values(const SettingInfo& info) {
    std::string text = fmt::format("{}", fmt::join(info.choices, ", "));
    if (info.fallback && info.type != SettingInfo::Type::kFlag) {
        const std::string value =
            std::visit([](const auto& v) { return fmt::format("{}", v); }, *info.fallback);
        text += (text.empty() ? "" : "; ") + value;
    }
    return text.empty() ? "" : "(" + text + ")";
}

PlannerSettings::PlannerSettings(std::string method, const std::vector<SettingInfo>& table,
                                 const Settings& given)
    : method_(std::move(method)), table_(table) {
    for (const auto& [name, value] : given) {
        const auto row = std::find_if(table_.begin(), table_.end(),
                                      [&, &key = name](const auto& r) { return key == r.name; });
        if (row == table_.end()) {
            throw UsageError("--" + name + " is not a setting of this method",
                             "--method " + method_, "leave it out");
        }
        values_[name] = checked(*row, value);
    }
}

const SettingInfo& PlannerSettings::info(const std::string& name) const {
    const auto row = std::find_if(table_.begin(), table_.end(),
                                  [&](const SettingInfo& r) { return name == r.name; });
    LOWKEY_CHECK(row != table_.end());
    return *row;
}

const Setting& PlannerSettings::value(const std::string& name) {
    const auto found = values_.find(name);
    if (found != values_.end()) return found->second;
    const SettingInfo& row = info(name);
    LOWKEY_CHECK(row.fallback.has_value());
    return values_.emplace(name, *row.fallback).first->second;
}

bool PlannerSettings::flag(const std::string& name) {
    return has(name) && std::get<bool>(value(name));
}
int64_t PlannerSettings::integer(const std::string& name) { return std::get<int64_t>(value(name)); }
double PlannerSettings::number(const std::string& name) { return std::get<double>(value(name)); }
std::string PlannerSettings::text(const std::string& name) {
    return std::get<std::string>(value(name));
}

void PlannerSettings::decide(const std::string& name, Setting value) {
    LOWKEY_CHECK(!has(name));
    values_[name] = checked(info(name), value);
}

int64_t PlannerSettings::integer_within(const std::string& name, int64_t fallback, int64_t low,
                                        int64_t high) {
    const auto given = values_.find(name);
    const int64_t value = given != values_.end() ? std::get<int64_t>(given->second) : fallback;
    if (value < low || value > high) {
        refuse(info(name), fmt::format("{} is out of range", value),
               fmt::format("give {} to {}", low, high));
    }
    values_[name] = value;
    return value;
}

void PlannerSettings::exclude(const std::string& name, const std::string& other) const {
    if (!has(name) || !has(other)) return;
    throw UsageError("--" + name + " and --" + other + " say the same", "--" + other,
                     "give one of them");
}

}  // namespace lowkey
