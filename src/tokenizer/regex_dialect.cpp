#include "tokenizer/regex_dialect.h"

#include <cctype>
#include <optional>
#include <vector>

namespace lowkey {
namespace {

// Oniguruma's \w (PCRE2 10.42 has no marks in its own), as members of a class. Outside of classes
// the Latin-1 digits that are no decimal ones belong to it too.
constexpr std::string_view kWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
constexpr std::string_view kLoneWord =
    "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}";
constexpr std::string_view kHex = "0-9a-fA-F";

class Translator {
public:
    explicit Translator(std::string_view pattern) : in_(pattern) {}

    std::string run() {
        while (pos_ < in_.size()) {
            switch (in_[pos_]) {
                case '\\': {
                    const size_t start = out_.size();
                    escape();
                    atom_ = start;
                    break;
                }
                case '[': {
                    const size_t start = out_.size();
                    character_class();
                    atom_ = start;
                    break;
                }
                case '(':
                    open_group();
                    break;
                case ')':
                    if (!groups_.empty()) {
                        atom_ = groups_.back();
                        groups_.pop_back();
                    }
                    out_ += in_[pos_++];
                    break;
                case '{':
                    interval();
                    break;
                case '*':
                case '+':
                case '?':
                case '|':
                case '^':
                case '$':
                    out_ += in_[pos_++];
                    break;
                default:
                    literal();
                    break;
            }
        }
        return std::move(out_);
    }

private:
    [[nodiscard]] bool at(std::string_view text) const {
        return in_.substr(pos_, text.size()) == text;
    }

    void literal() {
        atom_ = out_.size();
        out_ += in_[pos_++];
        while (pos_ < in_.size() && (static_cast<unsigned char>(in_[pos_]) & 0xC0U) == 0x80) {
            out_ += in_[pos_++];
        }
    }

    // A backslash and what belongs to it, outside a class.
    void escape() {
        const char c = pos_ + 1 < in_.size() ? in_[pos_ + 1] : '\0';
        const auto replace = [&](std::string_view before, std::string_view what,
                                 std::string_view after) {
            out_.append(before).append(what).append(after);
            pos_ += 2;
        };
        switch (c) {
            case 'w':
                return replace("[", kLoneWord, "]");
            case 'W':
                return replace("[^", kLoneWord, "]");
            case 'b':
            case 'B':
                return boundary(c == 'B');
            case 'h':
                return replace("[", kHex, "]");
            case 'H':
                return replace("[^", kHex, "]");
            default:
                common_escape(c);
        }
    }

    // \b, or (inside) \B: a place between a word's character and another one, or not.
    void boundary(bool inside) {
        const std::string word = "[" + std::string(kLoneWord) + "]";
        out_ += "(?:(?<=" + word + ")(?" + (inside ? "=" : "!") + word + ")|(?<!" + word + ")(?" +
                (inside ? "!" : "=") + word + "))";
        pos_ += 2;
    }

    void class_escape() {
        const char c = pos_ + 1 < in_.size() ? in_[pos_ + 1] : '\0';
        if (c == 'w' || c == 'h') {
            out_.append(c == 'w' ? kWord : kHex);
            pos_ += 2;
        } else if (c == 'W' || c == 'H') {
            throw DialectError(std::string("\\") + c + " in a character class");
        } else {
            common_escape(c);
        }
    }

    // Those that mean the same inside and outside of classes.
    void common_escape(char c) {
        if (c == 's' || c == 'S') {
            out_.append(c == 's' ? "\\p{White_Space}" : "\\P{White_Space}");
            pos_ += 2;
        } else if (c == 'u') {
            const std::string_view digits = in_.substr(pos_ + 2, 4);
            for (const char digit : digits) {
                if (std::isxdigit(static_cast<unsigned char>(digit)) == 0)
                    throw DialectError("\\u without four digits");
            }
            if (digits.size() != 4) throw DialectError("\\u without four digits");
            out_.append("\\x{").append(digits).append("}");
            pos_ += 6;
        } else if (c == 'p' || c == 'P') {
            const size_t end = in_.find('}', pos_);
            if (end == std::string_view::npos) throw DialectError("\\p without }");
            out_.append(in_, pos_, end + 1 - pos_);
            pos_ = end + 1;
        } else if (c == '\0' || std::string_view("QELUCNOXRy").find(c) != std::string_view::npos) {
            throw DialectError(std::string("\\") + c);
        } else {
            out_ += in_[pos_++];
            literal();
        }
    }

    void open_group() {
        if (at("(*")) throw DialectError("(*");
        groups_.push_back(out_.size());
        out_ += in_[pos_++];
        if (!at("?")) return;
        size_t end = pos_ + 1;
        while (end < in_.size() &&
               std::string_view("imx-").find(in_[end]) != std::string_view::npos)
            ++end;
        if (end == in_.size() || (in_[end] != ':' && in_[end] != ')')) return;
        for (; pos_ < end; ++pos_)
            out_ += in_[pos_] == 'm' ? 's' : in_[pos_];  // Ruby's m is dotall
    }

    // `{n}`, `{n,}`, `{,m}`, `{n,m}`; else a brace is a literal.
    void interval() {
        size_t end = pos_ + 1;
        const auto number = [&] {
            const size_t start = end;
            while (end < in_.size() && std::isdigit(static_cast<unsigned char>(in_[end])) != 0)
                ++end;
            return in_.substr(start, end - start);
        };
        const std::string_view low = number();
        std::optional<std::string_view> high;
        if (end < in_.size() && in_[end] == ',') {
            ++end;
            high = number();
        }
        const bool empty = low.empty() && (!high || high->empty());
        if (empty || end >= in_.size() || in_[end] != '}') return literal();
        pos_ = end + 1;
        out_ += '{';
        out_.append(low.empty() ? "0" : low);
        if (high) out_.append(",").append(*high);
        out_ += '}';
        // What follows applies to the repetition as a whole, where PCRE2 takes a modifier.
        const bool repeated = at("+") || (at("?") && !high);
        if (!repeated) return;
        out_.insert(atom_, "(?:");
        out_ += ')';
        out_ += in_[pos_++];
    }

    void character_class() {
        int depth = 1;
        out_ += in_[pos_++];
        if (at("^")) out_ += in_[pos_++];
        if (at("]")) out_ += in_[pos_++];
        while (pos_ < in_.size() && depth > 0) {
            if (at("&&")) throw DialectError("&& in a character class");
            if (at("[:")) {
                posix_class();
            } else if (at("[^")) {
                throw DialectError("negated class inside a class");
            } else if (at("[")) {  // a union: its brackets change nothing
                ++depth;
                ++pos_;
            } else if (at("]")) {
                if (--depth == 0) out_ += ']';
                ++pos_;
            } else if (at("\\")) {
                class_escape();
            } else {
                out_ += in_[pos_++];
            }
        }
    }

    void posix_class() {
        const size_t end = in_.find(":]", pos_);
        if (end == std::string_view::npos) throw DialectError("[: without :]");
        const std::string_view name = in_.substr(pos_, end + 2 - pos_);
        out_.append(name == "[:punct:]" ? "\\p{P}\\p{S}" : name);  // symbols count there
        pos_ = end + 2;
    }

    std::string_view in_;
    size_t pos_ = 0;
    std::string out_;
    size_t atom_ = 0;             // where the last atom starts in out_
    std::vector<size_t> groups_;  // where the open groups start in out_
};

}  // namespace

std::string to_pcre2(std::string_view pattern) { return Translator(pattern).run(); }

}  // namespace lowkey
