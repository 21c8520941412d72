#include "compress/plan_command.h"

#include <fmt/format.h>

#include "base/unicode.h"

namespace lowkey {
namespace {

/// " --keep 0.6": a setting that a flag of `lowkey plan` gives.
std::string flag_of(const std::string& name, const nlohmann::json& value) {
    const std::string flag = fmt::format(" {}", shell_word(fmt::format("--{}", name)));
    if (value.is_boolean()) return value.get<bool>() ? flag : "";
    std::string word;
    if (value.is_string()) {
        word = value.get<std::string>();
    } else if (value.is_number()) {
        word = value.dump();
    } else {
        return {};
    }
    // What begins like a flag would be taken for one.
    return fmt::format("{}{}{}", flag, word.starts_with('-') ? "=" : " ", shell_word(word));
}

/// The file of a composed plan's part, or a name after its method.
std::string part_name(const nlohmann::json& part) {
    const auto text = [&](const char* key) {
        const bool there = part.is_object() && part.contains(key) && part[key].is_string();
        return there ? part[key].get<std::string>() : std::string();
    };
    if (const std::string name = text("plan"); !name.empty()) return name;
    return fmt::format("{}.plan", text("method").empty() ? "part" : text("method"));
}

}  // namespace

std::string plan_command(const std::string& model, const std::string& plan, const PlanFile& file) {
    std::string command = fmt::format("lowkey plan {}", shell_word(model));
    const auto parts = file.settings.find("parts");
    if (parts != file.settings.end() && parts->is_array()) {
        command.append(" --compose");
        for (const auto& part : *parts)
            command.append(fmt::format(" {}", shell_word(part_name(part))));
    } else {
        command.append(fmt::format(" --method {}", shell_word(file.method)));
    }
    for (const auto& [name, value] : file.settings.items()) command.append(flag_of(name, value));
    if (file.settings.contains("calibration") && !file.settings.contains("stats"))
        command.append(" --stats STATS");
    return fmt::format("{} -o {}", command, shell_word(plan));
}

std::string shell_word(const std::string& word) {
    constexpr char kPlain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%";
    if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
    std::string out = "'";
    for (const char c : word) {
        if (c == '\'') out += "'\\'";
        out += c;
    }
    return out + "'";
}

std::string recordable_name(const std::string& name) {
    std::string storage;
    return std::string(valid_utf8(name, storage));
}

}  // namespace lowkey
