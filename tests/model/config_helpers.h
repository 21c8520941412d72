#pragma once

#include <exception>
#include <nlohmann/json.hpp>
#include <string>

#include "model/model_config.h"

namespace lowkey::test {

inline ModelConfig read(const nlohmann::json& config) {
    return ModelConfig::read(config, "m/config.json");
}

/// What an E says of a configuration that must be refused.
template <typename E>
std::string refusal(const nlohmann::json& config) {
    try {
        static_cast<void>(read(config));
    } catch (const E& e) {
        return e.what();
    } catch (const std::exception& e) {
        return std::string("another error: ") + e.what();
    }
    return "nothing was refused";
}

/// `config` with one key changed.
inline nlohmann::json with(nlohmann::json config, const std::string& key,
                           const nlohmann::json& value) {
    config[key] = value;
    return config;
}

}  // namespace lowkey::test
