#include "jinja/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/unicode.h"
#include "jinja/compare.h"
#include "jinja/repr.h"

namespace lowkey::jinja {
namespace {

constexpr char kRemedy[] = "check the file";
constexpr size_t kMaxQuote = 200;

class Writer {
public:
    Writer(const JsonStyle& style, Meter& meter) : style_(style), meter_(meter) {}

    std::string write(const Value& value) {
        put(value, 0);
        meter_.charge_text(out_.size());
        return std::move(out_);
    }

private:
    void put(const Value& value, int level) {
        meter_.charge(1);
        switch (value.kind()) {
            case Kind::kNone:
                out_ += "null";
                break;
            case Kind::kBool:
                out_ += value.integer() != 0 ? "true" : "false";
                break;
            case Kind::kInt:
                out_ += std::to_string(value.integer());
                break;
            case Kind::kFloat:
                out_ += number(value.real());
                break;
            case Kind::kString:
                put_string(value.str());
                break;
            case Kind::kList:
            case Kind::kTuple:
                put_list(value.items(), level);
                break;
            case Kind::kDict:
                put_dict(value.dict(), level);
                break;
            default:
                throw Failure(
                    fmt::format("Object of type {} is not JSON serializable", type_name(value)));
        }
        if (static_cast<int64_t>(out_.size()) > meter_.limits().max_text_bytes) {
            meter_.charge_text(out_.size());
        }
    }

    void new_line(int level) {
        if (!style_.lines) return;
        meter_.charge_text(static_cast<int64_t>(style_.indent.size()) * level);
        out_ += '\n';
        for (int i = 0; i < level; ++i) out_ += style_.indent;
    }

    void separate(bool& first, int level) {
        if (!first) out_ += style_.item_separator;
        first = false;
        new_line(level);
    }

    void put_list(const std::vector<Value>& items, int level) {
        if (items.empty()) {
            out_ += "[]";
            return;
        }
        out_ += '[';
        bool first = true;
        for (const Value& item : items) {
            separate(first, level + 1);
            put(item, level + 1);
        }
        new_line(level);
        out_ += ']';
    }

    void put_dict(const Dict& dict, int level) {
        if (dict.size() == 0) {
            out_ += "{}";
            return;
        }
        std::vector<const Dict::Entry*> entries;
        for (const Dict::Entry& entry : dict.entries()) entries.push_back(&entry);
        if (style_.sort_keys) {
            std::stable_sort(entries.begin(), entries.end(), [&](const auto* a, const auto* b) {
                return less(a->first, b->first, meter_);
            });
        }
        out_ += '{';
        bool first = true;
        for (const Dict::Entry* entry : entries) {
            separate(first, level + 1);
            put_string(key_text(entry->first));
            out_ += style_.key_separator;
            put(entry->second, level + 1);
        }
        new_line(level);
        out_ += '}';
    }

    static std::string key_text(const Value& key) {
        switch (key.kind()) {
            case Kind::kString:
                return key.str();
            case Kind::kNone:
                return "null";
            case Kind::kBool:
                return key.integer() != 0 ? "true" : "false";
            case Kind::kInt:
                return std::to_string(key.integer());
            case Kind::kFloat:
                return number(key.real());
            default:
                throw Failure(fmt::format("keys must be str, int, float, bool or None, not {}",
                                          type_name(key)));
        }
    }

    static std::string number(double value) {
        if (std::isnan(value)) return "NaN";
        if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
        return float_repr(value);
    }

    void put_string(std::string_view text) {
        meter_.charge_text(text.size());
        out_ += '"';
        for (size_t pos = 0; pos < text.size();) {
            const size_t start = pos;
            const char32_t c = next_code_point(text, pos);
            put_character(c, text.substr(start, pos - start));
        }
        out_ += '"';
    }

    void put_character(char32_t c, std::string_view bytes) {
        constexpr std::string_view special = "\"\\\n\r\t\b\f";
        constexpr std::string_view letters = "\"\\nrtbf";
        if (const size_t i = c < 0x80 ? special.find(static_cast<char>(c)) : std::string_view::npos;
            i != std::string_view::npos) {
            out_ += '\\';
            out_ += letters[i];
        } else if (c < 0x20 || (style_.ensure_ascii && c >= 0x7F && c < 0x10000)) {
            out_ += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
        } else if (style_.ensure_ascii && c >= 0x10000) {
            const uint32_t rest = static_cast<uint32_t>(c) - 0x10000;
            out_ +=
                fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF));
        } else {
            out_ += bytes;
        }
    }

    const JsonStyle& style_;
    Meter& meter_;
    std::string out_;
};

/// Takes what nlohmann's parser reads. Numbers come with their text, which tells an integer that is
/// too large from a float.
class Reader {
public:
    using Json = nlohmann::json;

    explicit Reader(const std::string& file) : file_(file) {}
    Value take() { return std::move(result_); }

    // Names are those of nlohmann::json_sax.
    bool null() { return put(Value::none()); }
    bool boolean(bool value) { return put(Value::boolean(value)); }
    bool number_integer(int64_t value) { return put(Value::integer(value)); }
    bool number_unsigned(uint64_t value) {
        if (value > static_cast<uint64_t>(INT64_MAX)) too_large(std::to_string(value));
        return put(Value::integer(static_cast<int64_t>(value)));
    }
    bool number_float(double value, const std::string& text) {
        if (text.find_first_of(".eE") == std::string::npos) too_large(text);
        return put(Value::real(value));
    }
    bool string(std::string& value) { return put(Value::string(std::move(value))); }
    bool binary(Json::binary_t& /*value*/) { return false; }
    bool start_object(size_t /*size*/) { return open(true); }
    bool key(std::string& key) {
        open_.back().key = std::move(key);
        return true;
    }
    bool end_object() {
        Value value = Value::dict(std::move(open_.back().dict));
        open_.pop_back();
        return put(std::move(value));
    }
    bool start_array(size_t /*size*/) { return open(false); }
    bool end_array() {
        Value value = Value::list(std::move(open_.back().items));
        open_.pop_back();
        return put(std::move(value));
    }
    bool parse_error(size_t /*position*/, const std::string& /*token*/,
                     const Json::exception& error) {
        std::string what = error.what();  // "[json.exception.parse_error.101] parse error at ..."
        if (const size_t end = what.find("] "); end != std::string::npos) what.erase(0, end + 2);
        if (what.size() > kMaxQuote) what = what.substr(0, kMaxQuote) + "...";
        throw FileError(fmt::format("not valid JSON ({})", what), file_, kRemedy);
    }

private:
    struct Open {
        bool is_object = false;
        Dict dict;
        std::vector<Value> items;
        std::string key;
    };

    bool open(bool is_object) {
        if (open_.size() >= static_cast<size_t>(kMaxNesting)) {
            throw FileError(fmt::format("JSON nested deeper than {} levels", kMaxNesting), file_,
                            kRemedy);
        }
        open_.emplace_back().is_object = is_object;
        return true;
    }
    bool put(Value value) {
        if (open_.empty()) {
            result_ = std::move(value);
        } else if (open_.back().is_object) {
            open_.back().dict.set(open_.back().key, std::move(value));
        } else {
            open_.back().items.push_back(std::move(value));
        }
        return true;
    }
    [[noreturn]] void too_large(const std::string& number) const {
        throw FileError(fmt::format("an integer beyond 64 bits ({})", number.substr(0, 40)), file_,
                        "write it as a string");
    }

    const std::string& file_;
    std::vector<Open> open_;
    Value result_;
};

}  // namespace

std::string to_json(const Value& value, const JsonStyle& style, Meter& meter) {
    return Writer(style, meter).write(value);
}

Value from_json(std::string_view text, const std::string& file) {
    // The parser would take a zero byte for the end of the text.
    if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
        throw FileError(fmt::format("not valid JSON (a zero byte at byte {})", zero + 1), file,
                        kRemedy);
    }
    Reader reader(file);
    nlohmann::json::sax_parse(text.begin(), text.end(), &reader);
    return reader.take();
}

}  // namespace lowkey::jinja
