#include "io/json_reader.h"

#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/size.h"

namespace lowkey {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 64;
constexpr size_t kMaxQuote = 200;
constexpr char kRemedy[] = "check the file, or get it again";

struct TooDeep {};

/// Numbers that Python's json module writes and JSON does not know.
struct NotFinite {
    std::string_view token;
    const char* stands_in;  ///< a string that no file would hold
    double value;
};
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::array<NotFinite, 3> kNotFinite = {
    {{"-Infinity", "\x7f-Infinity\x7f", -kInfinity},
     {"Infinity", "\x7fInfinity\x7f", kInfinity},
     {"NaN", "\x7fNaN\x7f", std::numeric_limits<double>::quiet_NaN()}}};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// The number that stands at `at`, where JSON has a value within an array or object: behind `:`,
/// `[` or `,` (`before` is the last character but spaces) and before `,`, `]` or `}`; else null.
const NotFinite* not_finite_at(std::string_view text, size_t at, char before) {
    if (before != ':' && before != '[' && before != ',') return nullptr;
    for (const NotFinite& number : kNotFinite) {
        if (!text.substr(at).starts_with(number.token)) continue;
        size_t next = at + number.token.size();
        while (next < text.size() && is_space(text[next])) ++next;
        const char after = next < text.size() ? text[next] : '\0';
        return after == ',' || after == ']' || after == '}' ? &number : nullptr;
    }
    return nullptr;
}

/// The text with strings for the numbers that JSON does not know; the text itself where there are
/// none.
std::string replace_not_finite(std::string_view text) {
    std::string out;
    bool in_string = false;
    char before = '\0';
    for (size_t i = 0; i < text.size();) {
        if (const auto* found = in_string ? nullptr : not_finite_at(text, i, before);
            found != nullptr) {
            out += '"' + std::string(found->stands_in) + '"';
            i += found->token.size();
            before = '"';
            continue;
        }
        if (!is_space(text[i])) before = text[i];
        if (in_string && text[i] == '\\' && i + 1 < text.size())
            out += text[i++];
        else if (text[i] == '"')
            in_string = !in_string;
        out += text[i++];
    }
    return out;
}

void restore_not_finite(json& value) {
    if (!value.is_string()) return;
    for (const NotFinite& number : kNotFinite) {
        if (value.get_ref<const std::string&>() == number.stands_in) value = number.value;
        if (!value.is_string()) return;
    }
}

}  // namespace

JsonReader::JsonReader(const json& value, std::string file, std::string key)
    : value_(&value), file_(std::move(file)), key_(std::move(key)) {}

void JsonReader::fail(const std::string& what, const std::string& remedy) const {
    throw FileError(what, key_.empty() ? file_ : file_ + ", " + key_,
                    remedy.empty() ? kRemedy : remedy);
}

bool JsonReader::is_null() const { return value_->is_null(); }
bool JsonReader::is_string() const { return value_->is_string(); }
bool JsonReader::is_boolean() const { return value_->is_boolean(); }
bool JsonReader::is_number() const { return value_->is_number(); }
bool JsonReader::is_array() const { return value_->is_array(); }
bool JsonReader::is_object() const { return value_->is_object(); }

bool JsonReader::has(const std::string& key) const {
    if (!value_->is_object()) return false;
    const auto member = value_->find(key);
    return member != value_->end() && !member->is_null();
}

JsonReader JsonReader::at(const std::string& key) const {
    if (!value_->is_object()) fail(std::string("expected an object, got ") + value_->type_name());
    const auto member = value_->find(key);
    const std::string path = key_.empty() ? key : key_ + "." + key;
    if (member == value_->end()) fail("key '" + path + "' is missing");
    return {*member, file_, path};
}

std::optional<JsonReader> JsonReader::find(const std::string& key) const {
    if (!has(key)) return std::nullopt;
    return at(key);
}

std::vector<JsonReader> JsonReader::items() const {
    if (!value_->is_array()) fail(std::string("expected an array, got ") + value_->type_name());
    std::vector<JsonReader> out;
    out.reserve(value_->size());
    for (const json& element : *value_) {
        out.emplace_back(element, file_, key_ + "[" + std::to_string(out.size()) + "]");
    }
    return out;
}

std::vector<std::pair<std::string, JsonReader>> JsonReader::members() const {
    if (!value_->is_object()) fail(std::string("expected an object, got ") + value_->type_name());
    std::vector<std::pair<std::string, JsonReader>> out;
    out.reserve(value_->size());
    for (const auto& [name, member] : value_->items()) {
        out.emplace_back(name, JsonReader(member, file_, key_.empty() ? name : key_ + "." + name));
    }
    return out;
}

std::string JsonReader::string() const {
    if (!value_->is_string()) fail(std::string("expected a string, got ") + value_->type_name());
    return value_->get<std::string>();
}

bool JsonReader::boolean() const {
    if (!value_->is_boolean())
        fail(std::string("expected true or false, got ") + value_->type_name());
    return value_->get<bool>();
}

double JsonReader::number() const {
    if (!value_->is_number()) fail(std::string("expected a number, got ") + value_->type_name());
    const auto number = value_->get<double>();
    if (!std::isfinite(number)) fail("expected a finite number");
    return number;
}

int64_t JsonReader::integer(int64_t low, int64_t high) const {
    const auto out_of_range = [&](const std::string& got) {
        fail("expected a whole number from " + std::to_string(low) + " to " + std::to_string(high) +
             ", got " + got);
    };
    int64_t whole = 0;
    if (value_->is_number_unsigned()) {
        const auto wide = value_->get<uint64_t>();
        if (wide > static_cast<uint64_t>(INT64_MAX)) out_of_range(std::to_string(wide));
        whole = static_cast<int64_t>(wide);
    } else if (value_->is_number_integer()) {
        whole = value_->get<int64_t>();
    } else {
        const double x = number();
        if (x != std::floor(x) || std::abs(x) > kMaxExactInteger) out_of_range(std::to_string(x));
        whole = static_cast<int64_t>(x);
    }
    if (whole < low || whole > high) out_of_range(std::to_string(whole));
    return whole;
}

std::string JsonReader::string_or(const std::string& key, const std::string& fallback) const {
    return has(key) ? at(key).string() : fallback;
}
bool JsonReader::boolean_or(const std::string& key, bool fallback) const {
    return has(key) ? at(key).boolean() : fallback;
}
double JsonReader::number_or(const std::string& key, double fallback) const {
    return has(key) ? at(key).number() : fallback;
}
int64_t JsonReader::integer_or(const std::string& key, int64_t fallback, int64_t low,
                               int64_t high) const {
    return has(key) ? at(key).integer(low, high) : fallback;
}

json parse_json(std::string_view text, const std::string& file, DuplicateKeys duplicates) {
    // The parser would take a zero byte for the end of the text.
    if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
        throw FileError("not valid JSON (a zero byte at byte " + std::to_string(zero + 1) + ")",
                        file, kRemedy);
    }
    std::vector<std::set<std::string>> open_objects;
    bool has_not_finite = false;
    const json::parser_callback_t check = [&](int depth, json::parse_event_t event, json& parsed) {
        if (has_not_finite && event == json::parse_event_t::value) restore_not_finite(parsed);
        // `depth` counts what is open around the new array or object.
        const bool opens =
            event == json::parse_event_t::object_start || event == json::parse_event_t::array_start;
        if (opens && depth >= kMaxDepth) throw TooDeep();
        if (duplicates == DuplicateKeys::kTakeLast) return true;
        if (event == json::parse_event_t::object_start) open_objects.emplace_back();
        if (event == json::parse_event_t::object_end) open_objects.pop_back();
        if (event == json::parse_event_t::key) {
            const auto key = parsed.get<std::string>();
            if (!open_objects.back().insert(key).second) {
                throw FileError("key '" + key + "' is there twice", file, kRemedy);
            }
        }
        return true;
    };
    try {
        try {
            return json::parse(text.begin(), text.end(), check);
        } catch (const json::parse_error&) {
            // Rare enough to be looked for only where the text cannot be parsed.
            const std::string replaced = replace_not_finite(text);
            if (replaced == text) throw;
            has_not_finite = true;
            open_objects.clear();
            return json::parse(replaced, check);
        }
    } catch (const TooDeep&) {
        throw FileError("JSON nested deeper than " + std::to_string(kMaxDepth) + " levels", file,
                        kRemedy);
    } catch (const json::exception& e) {
        std::string what =
            e.what();  // "[json.exception.parse_error.101] parse error at line 1, column 2: …"
        if (const size_t end = what.find("] "); end != std::string::npos)
            what = what.substr(end + 2);
        // It may quote the text, which can be of any length.
        if (what.size() > kMaxQuote) what = what.substr(0, kMaxQuote) + "...";
        throw FileError("not valid JSON (" + what + ")", file, kRemedy);
    }
}

json read_json_file(const std::string& path, int64_t max_bytes) {
    const MappedFile file(path);
    const auto bytes = file.bytes();
    if (static_cast<int64_t>(bytes.size()) > max_bytes) {
        throw FileError("JSON file of " + format_bytes(static_cast<int64_t>(bytes.size())) +
                            ", more than " + format_bytes(max_bytes),
                        path, "check the file");
    }
    return parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

}  // namespace lowkey
