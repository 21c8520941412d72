#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace lowkey {

/// "1.5 MiB": binary units, three significant digits.
std::string format_bytes(int64_t bytes);

/// Bytes of "512MiB", "2GB", "64k" or "1000" (KiB = 1024, kB = K = 1000; B may be left out).
/// Throws UsageError for anything else, for negative sizes and for overflow.
int64_t parse_bytes(std::string_view text);

/// "2m 05s", "3.4 s": for people.
std::string format_seconds(double seconds);

}  // namespace lowkey
