#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "base/escape.h"
#include "cli/command.h"

namespace lowkey::cli {

/// Prints what an evaluation found under each plan: one result as it is, several after the names of
/// their plans (as JSON: `plans`, each with its `plan`). `result_json` and `print_table` show one.
template <typename Result, typename ToJson, typename PrintTable>
void print_by_plan(const std::vector<Result>& results, const std::vector<std::string>& plans,
                   bool json, ToJson result_json, PrintTable print_table) {
    if (results.size() == 1) {
        if (json) {
            print_json(result_json(results.front()));
        } else {
            print_table(results.front());
        }
        return;
    }
    if (json) {
        nlohmann::json all = nlohmann::json::array();
        for (size_t i = 0; i < results.size(); ++i) {
            nlohmann::json& own = all.emplace_back(result_json(results[i]));
            own["plan"] = plans[i];
        }
        print_json({{"plans", std::move(all)}});
        return;
    }
    for (size_t i = 0; i < results.size(); ++i) {
        fmt::print("{}{}\n", i > 0 ? "\n" : "", printable(plans[i]));
        print_table(results[i]);
    }
}

}  // namespace lowkey::cli
