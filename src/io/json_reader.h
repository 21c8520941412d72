#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lowkey {

/// 2^53: a larger double may stand for other whole numbers than its own.
inline constexpr double kMaxExactInteger = 9007199254740992.0;

/// A JSON value from a file that is not trusted, read with types and ranges checked. Every error is
/// a FileError that names the file and the path inside it ("a/config.json, layers[3].rank: expected
/// an integer, got a string"). Holds a pointer into the document that parse_json returned: the
/// document must outlive its readers.
class JsonReader {
public:
    /// `file` and `key` are for messages only.
    JsonReader(const nlohmann::json& value, std::string file, std::string key = {});

    /// An object with this member, and it is not null.
    [[nodiscard]] bool has(const std::string& key) const;
    /// Member of an object; throws when this is no object or has no such member.
    [[nodiscard]] JsonReader at(const std::string& key) const;
    /// Member when has(key).
    [[nodiscard]] std::optional<JsonReader> find(const std::string& key) const;
    /// Elements of an array; throws when this is none.
    [[nodiscard]] std::vector<JsonReader> items() const;
    /// Members of an object, sorted by name; throws when this is none.
    [[nodiscard]] std::vector<std::pair<std::string, JsonReader>> members() const;

    // The value as what it must be; throw when it is something else.
    [[nodiscard]] std::string string() const;
    [[nodiscard]] bool boolean() const;
    [[nodiscard]] double number() const;  ///< finite
    /// A whole number in [low, high]; 5.0 is one, 5.5 is not.
    [[nodiscard]] int64_t integer(int64_t low, int64_t high) const;

    // What it is.
    [[nodiscard]] bool is_null() const;
    [[nodiscard]] bool is_string() const;
    [[nodiscard]] bool is_boolean() const;
    [[nodiscard]] bool is_number() const;
    [[nodiscard]] bool is_array() const;
    [[nodiscard]] bool is_object() const;

    // The member's value, or `fallback` when it is absent or null.
    [[nodiscard]] std::string string_or(const std::string& key, const std::string& fallback) const;
    [[nodiscard]] bool boolean_or(const std::string& key, bool fallback) const;
    [[nodiscard]] double number_or(const std::string& key, double fallback) const;
    [[nodiscard]] int64_t integer_or(const std::string& key, int64_t fallback, int64_t low,
                                     int64_t high) const;

    /// Throws FileError "<what>: <file>, <key>; <remedy>".
    [[noreturn]] void fail(const std::string& what, const std::string& remedy = {}) const;
    /// The file's name, for other messages.
    [[nodiscard]] const std::string& file() const { return file_; }
    /// The value as it is, unchecked.
    [[nodiscard]] const nlohmann::json& value() const { return *value_; }

private:
    const nlohmann::json* value_;
    std::string file_;
    std::string key_;
};

/// What parse_json makes of an object that has a key twice: takes the last value, as Python does,
/// or throws.
enum class DuplicateKeys { kTakeLast, kRefuse };

/// Parses text that is not trusted: depth limited to 64 (deeper is refused, the stack is safe).
/// Takes Infinity, -Infinity and NaN, which Python writes: numbers that JsonReader::number()
/// refuses. Throws FileError naming `file` and the byte of the mistake.
nlohmann::json parse_json(std::string_view text, const std::string& file,
                          DuplicateKeys duplicates = DuplicateKeys::kTakeLast);
/// parse_json of a whole file of at most `max_bytes`. Throws FileError.
nlohmann::json read_json_file(const std::string& path, int64_t max_bytes = int64_t{1} << 30);

}  // namespace lowkey
