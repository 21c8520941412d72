#include "base/size.h"

#include <fmt/format.h>

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

#include "base/error.h"

namespace lowkey {

std::string format_bytes(int64_t bytes) {
    constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = static_cast<double>(bytes);
    size_t unit = 0;
    while (std::abs(value) >= 1024 && unit + 1 < kUnits.size()) {
        value /= 1024;
        ++unit;
    }
    if (unit == 0) return fmt::format("{} B", bytes);
    return fmt::format("{:.{}f} {}", value, value < 10 ? 2 : value < 100 ? 1 : 0, kUnits[unit]);
}

int64_t parse_bytes(std::string_view text) {
    const auto refuse = [&]() -> UsageError {
        return {"not a size", std::string(text), "write bytes as 512MiB, 2GB or 1048576"};
    };
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || !(value >= 0)) throw refuse();
    std::string unit;
    for (const char* c = end; c != text.data() + text.size(); ++c) {
        if (*c != ' ') unit += static_cast<char>(std::tolower(static_cast<unsigned char>(*c)));
    }
    double factor = 1;
    if (!unit.empty() && unit != "b") {
        constexpr std::string_view kPrefixes = "kmgt";
        const size_t power = kPrefixes.find(unit[0]);
        const std::string rest = unit.substr(1);
        if (power == std::string_view::npos) throw refuse();
        if (rest == "ib" || rest == "i") {
            factor = std::pow(1024.0, static_cast<double>(power + 1));
        } else if (rest.empty() || rest == "b") {
            factor = std::pow(1000.0, static_cast<double>(power + 1));
        } else {
            throw refuse();
        }
    }
    const double bytes = value * factor;
    if (!(bytes < 9.2e18)) throw refuse();
    return static_cast<int64_t>(bytes);
}

std::string format_seconds(double seconds) {
    if (seconds < 10) return fmt::format("{:.1f} s", seconds);
    if (seconds < 60) return fmt::format("{:.0f} s", seconds);
    const auto whole = static_cast<int64_t>(std::llround(seconds));
    if (whole < 3600) return fmt::format("{}m {:02}s", whole / 60, whole % 60);
    return fmt::format("{}h {:02}m", whole / 3600, whole / 60 % 60);
}

}  // namespace lowkey
