#include "tokenizer/regex_dialect.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/unicode.h"
#include "tokenizer/regex_classes.h"

namespace lowkey {
namespace {

constexpr size_t kMaxKinds = 250;  // of characters: one byte each

// Parts of a pattern in PCRE2's syntax: text, or (set >= 0) one character of a set.
struct Part {
    std::string text;
    int set = -1;
};

struct Translated {
    std::vector<Part> parts;
    std::vector<CodePointSet> sets;
};

class Translator {
public:
    explicit Translator(std::string_view pattern) : in_(pattern), reader_(pattern) {}

    Translated run() {
        while (pos_ < in_.size()) step();
        while (open_ends_ > 0) close_isolated();
        return std::move(out_);
    }

private:
    // Options that hold up to the end of a group.
    struct Flags {
        bool any_case = false;
        bool dot_all = false;
        bool extended = false;
    };
    struct Group {
        size_t start;   // in parts
        Flags flags;    // before it
        int open_ends;  // before it
    };

    void step() {
        const char c = in_[pos_];
        if (flags_.extended && skip_extended()) return;
        switch (c) {
            case '\\':
                return escape();
            case '[':
                return atom(reader_.brackets(pos_, flags_.any_case));
            case '(':
                return open_group();
            case ')':
                return close_group();
            case '{':
                return interval();
            case '.':
                ++pos_;
                return atom(flags_.dot_all ? CodePointSet::all()
                                           : CodePointSet::of('\n', '\n').complement());
            case '*':
            case '+':
            case '?':
            case '|':
            case '^':
            case '$':
                return text(in_[pos_++]);
            default:
                return literal();
        }
    }

    [[nodiscard]] bool at(std::string_view expected) const {
        return in_.substr(pos_, expected.size()) == expected;
    }
    void text(char c) { out_.parts.push_back({std::string(1, c)}); }
    void text(std::string_view more) { out_.parts.push_back({std::string(more)}); }

    void set(CodePointSet members) {
        const auto known = set_ids_.find(members.ranges());
        int id = 0;
        if (known != set_ids_.end()) {
            id = known->second;
        } else {
            id = static_cast<int>(out_.sets.size());
            set_ids_.emplace(members.ranges(), id);
            out_.sets.push_back(std::move(members));
        }
        out_.parts.push_back({"", id});
    }
    void atom(CodePointSet members) {
        atom_ = out_.parts.size();
        set(std::move(members));
    }

    void literal() {
        const char32_t c = next_code_point(in_, pos_);
        const CodePointSet one = CodePointSet::of(c, c);
        atom(flags_.any_case ? one.with_other_cases() : one);
    }

    bool skip_extended() {
        const auto c = static_cast<unsigned char>(in_[pos_]);
        if (c == '#') {
            pos_ = std::min(in_.find('\n', pos_), in_.size() - 1) + 1;
            return true;
        }
        if (std::isspace(c) == 0) return false;
        ++pos_;
        return true;
    }

    static CodePointSet named(const char* name) {
        auto members = CodePointSet::with_property(name);
        LOWKEY_CHECK(members.has_value());
        return std::move(*members);
    }
    static CodePointSet one_of(std::initializer_list<CodePointRange> ranges) {
        CodePointSet members;
        for (const CodePointRange& range : ranges)
            members.add(CodePointSet::of(range.first, range.last));
        return members;
    }

    // A backslash and what belongs to it.
    void escape() {
        const size_t start = out_.parts.size();
        const char c = pos_ + 1 < in_.size() ? in_[pos_ + 1] : '\0';
        switch (c) {
            case 'A':
            case 'z':
            case 'Z':
            case 'G':
                text(in_.substr(pos_, 2));
                pos_ += 2;
                break;
            case 'b':
            case 'B':
                boundary(c == 'B');
                pos_ += 2;
                break;
            case 'R':
                line_break();
                pos_ += 2;
                break;
            case 'X':
                cluster();
                pos_ += 2;
                break;
            case 'N':
                set(CodePointSet::of('\n', '\n').complement());
                pos_ += 2;
                break;
            case 'O':
                set(CodePointSet::all());
                pos_ += 2;
                break;
            default: {
                CodePointSet members = reader_.escape(pos_, false);
                const auto& ranges = members.ranges();
                const bool one = ranges.size() == 1 && ranges[0].first == ranges[0].last;
                set(flags_.any_case && one ? members.with_other_cases() : std::move(members));
            }
        }
        atom_ = start;
    }

    // \b, or (inside) \B: a place between a word's character and another one, or not.
    void boundary(bool inside) {
        const CodePointSet word = named("escape w");
        const auto look = [&](const char* how) {
            text(how);
            set(word);
            text(')');
        };
        text("(?:");
        look("(?<=");
        look(inside ? "(?=" : "(?!");
        text('|');
        look("(?<!");
        look(inside ? "(?!" : "(?=");
        text(')');
    }

    void line_break() {
        text("(?>");
        set(one_of({{'\r', '\r'}}));
        set(one_of({{'\n', '\n'}}));
        text('|');
        set(one_of({{'\n', '\r'}, {0x85, 0x85}, {0x2028, 0x2029}}));
        text(')');
    }

    // An extended grapheme cluster (Unicode Standard Annex 29, without its rule 9c).
    void cluster() {
        const CodePointSet trailing = named("cluster trailing");
        CodePointSet extend = named("Grapheme_Extend");
        extend.add(named("Emoji_Modifier"));
        const CodePointSet joiner = one_of({{0x200D, 0x200D}});
        const CodePointSet pictograph = named("Extended_Pictographic");
        const CodePointSet flag = named("Regional_Indicator");
        CodePointSet lead = one_of({{0x1100, 0x115F}, {0xA960, 0xA97C}});
        const CodePointSet vowel = one_of({{0x1160, 0x11A7}, {0xD7B0, 0xD7C6}});
        const CodePointSet trail = one_of({{0x11A8, 0x11FF}, {0xD7CB, 0xD7FB}});
        CodePointSet open_syllable;    // ends with a vowel
        CodePointSet closed_syllable;  // ends with a trailing consonant
        for (char32_t c = 0xAC00; c < 0xD7A4; c += 28) {
            open_syllable.add(CodePointSet::of(c, c));
            closed_syllable.add(CodePointSet::of(c + 1, c + 27));
        }
        const auto all_of = [&](const char* before, const CodePointSet& members,
                                const char* behind) {
            text(before);
            set(members);
            text(behind);
        };
        all_of("(?>", one_of({{'\r', '\r'}}), "");
        all_of("", one_of({{'\n', '\n'}}), "|");
        all_of("", named("cluster control"), "|");
        all_of("", named("cluster prepend"), "*(?:");
        all_of("", lead, "*(?:");
        all_of("(?:", open_syllable, "");
        all_of("|", vowel, ")");
        all_of("", vowel, "*");
        all_of("", trail, "*");
        all_of("|", closed_syllable, "");
        all_of("", trail, "*)");
        all_of("|", lead, "+");
        all_of("|", trail, "+");
        all_of("|", flag, "{2}");
        all_of("|", pictograph, "(?:");
        all_of("", extend, "*");
        all_of("", joiner, "");
        all_of("", pictograph, ")*");
        all_of("|", named("cluster control").complement(), ")");
        all_of("", trailing, "*)");
    }

    void open_group() {
        if (at("(?#")) {
            const size_t end = in_.find(')', pos_);
            if (end == std::string_view::npos) throw PatternError("comment without )");
            pos_ = end + 1;
            return;
        }
        if (at("(*")) throw DialectError("(*");
        if (!at("(?")) {
            ++pos_;
            return push_group("(?:");  // nothing can refer to it
        }
        for (const std::string_view known : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"}) {
            if (!at(known)) continue;
            pos_ += known.size();
            return push_group(known);
        }
        if (at("(?<") || at("(?'")) {  // a name: nothing can refer to it
            const size_t end = in_.find(in_[pos_ + 2] == '<' ? '>' : '\'', pos_ + 3);
            if (end == std::string_view::npos || end == pos_ + 3)
                throw PatternError("group without a name");
            pos_ = end + 1;
            return push_group("(?:");
        }
        options();
    }

    // (?imx-imx:...) or (?imx-imx), which holds for all that follows in the group.
    void options() {
        Flags flags = flags_;
        bool on = true;
        size_t end = pos_ + 2;
        for (;
             end < in_.size() && std::string_view("imx-").find(in_[end]) != std::string_view::npos;
             ++end) {
            switch (in_[end]) {
                case 'i':
                    flags.any_case = on;
                    break;
                case 'm':  // Ruby's m is dotall
                    flags.dot_all = on;
                    break;
                case 'x':
                    flags.extended = on;
                    break;
                default:
                    on = false;
            }
        }
        if (end == in_.size()) throw PatternError("group without )");
        if (in_[end] != ':' && in_[end] != ')') throw DialectError("(?" + std::string(1, in_[end]));
        pos_ = end + 1;
        if (in_[end] == ':') {
            push_group("(?:");
        } else {  // "a(?i)b|c" means "a(?i:b|c)"
            text("(?:");
            ++open_ends_;
        }
        flags_ = flags;
    }

    void push_group(std::string_view opening) {
        groups_.push_back({out_.parts.size(), flags_, open_ends_});
        open_ends_ = 0;
        text(opening);
    }

    void close_isolated() {
        text(')');
        --open_ends_;
    }

    void close_group() {
        ++pos_;
        if (groups_.empty()) throw PatternError("unmatched )");
        while (open_ends_ > 0) close_isolated();
        text(')');
        atom_ = groups_.back().start;
        flags_ = groups_.back().flags;
        open_ends_ = groups_.back().open_ends;
        groups_.pop_back();
    }

    // {n}, {n,}, {,m} or {n,m}; anything else is text.
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
        std::string out = "{";
        out.append(low.empty() ? "0" : low);
        if (high) out.append(",").append(*high);
        text(out + "}");
        // What follows applies to the repetition as a whole, where PCRE2 takes a modifier.
        const bool repeated = at("+") || (at("?") && !high);
        if (!repeated) return;
        const auto place = static_cast<ptrdiff_t>(std::min(atom_, out_.parts.size()));
        out_.parts.insert(out_.parts.begin() + place, Part{"(?:"});
        text(')');
        text(in_[pos_++]);
    }

    std::string_view in_;
    ClassReader reader_;
    size_t pos_ = 0;
    Translated out_;
    std::map<std::vector<CodePointRange>, int,
             bool (*)(const std::vector<CodePointRange>&, const std::vector<CodePointRange>&)>
        set_ids_{less};
    size_t atom_ = 0;  // where the last atom starts in out_.parts
    Flags flags_;
    int open_ends_ = 0;  // groups that end with the current one
    std::vector<Group> groups_;

    static bool less(const std::vector<CodePointRange>& a, const std::vector<CodePointRange>& b) {
        return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(),
                                            [](const CodePointRange& x, const CodePointRange& y) {
                                                return x.first != y.first ? x.first < y.first
                                                                          : x.last < y.last;
                                            });
    }
};

// The kinds of characters that sets tell apart, as runs of code points.
class Kinds {
public:
    void tell_apart(const CodePointSet& set) {
        std::vector<CodePointMap::Run> runs;
        std::array<std::array<int, 2>, 256> numbers;  // of (kind, is a member)
        for (auto& pair : numbers) pair = {-1, -1};
        size_t count = 0;
        size_t range = 0;
        const auto& ranges = set.ranges();
        for (size_t i = 0; i < runs_.size(); ++i) {
            const char32_t end = i + 1 < runs_.size() ? runs_[i + 1].first : kMaxCodePoint + 1;
            for (char32_t c = runs_[i].first; c < end;) {
                while (range < ranges.size() && ranges[range].last < c) ++range;
                const bool member = range < ranges.size() && ranges[range].first <= c;
                const char32_t next = range == ranges.size() ? end
                                      : member               ? ranges[range].last + 1
                                                             : ranges[range].first;
                int& number = numbers[runs_[i].value][member ? 1 : 0];
                if (number < 0) number = static_cast<int>(count++);
                if (count > kMaxKinds) {
                    throw DialectError("more than " + std::to_string(kMaxKinds) +
                                       " kinds of characters");
                }
                runs.push_back({c, static_cast<uint8_t>(number)});
                c = std::min(next, end);
            }
        }
        if (count == num_kinds_) return;
        num_kinds_ = count;
        runs_ = std::move(runs);
    }

    // Numbers become bytes; the kind of a line feed becomes a line feed.
    [[nodiscard]] std::vector<CodePointMap::Run> bytes() const {
        std::vector<CodePointMap::Run> out = runs_;
        const uint8_t line_feed = kind_of('\n');
        for (auto& run : out) {
            if (run.value == line_feed) {
                run.value = '\n';
            } else if (run.value == '\n') {
                run.value = line_feed;
            }
        }
        return out;
    }

private:
    [[nodiscard]] uint8_t kind_of(char32_t c) const {
        uint8_t kind = 0;
        for (const auto& run : runs_) {
            if (run.first > c) break;
            kind = run.value;
        }
        return kind;
    }

    std::vector<CodePointMap::Run> runs_ = {{0, 0}};
    size_t num_kinds_ = 1;
};

std::string byte_class(const CodePointSet& set, const std::vector<CodePointMap::Run>& runs) {
    std::array<bool, 256> members{};
    size_t range = 0;
    for (const auto& run : runs) {
        while (range < set.ranges().size() && set.ranges()[range].last < run.first) ++range;
        if (range == set.ranges().size()) break;
        if (set.ranges()[range].first <= run.first) members[run.value] = true;
    }
    constexpr const char* digits = "0123456789abcdef";
    std::string out = "[";
    for (size_t byte = 0; byte < members.size(); ++byte) {
        if (!members[byte]) continue;
        out.append("\\x");
        out += digits[byte >> 4];
        out += digits[byte & 15];
    }
    // An empty class is none in PCRE2's syntax.
    return out == "[" ? "[^\\x00-\\xff]" : out + "]";
}

}  // namespace

BytePattern translate_regex(std::string_view pattern) {
    Translated translated = Translator(pattern).run();
    Kinds kinds;
    kinds.tell_apart(CodePointSet::of('\n', '\n'));
    for (const CodePointSet& set : translated.sets) kinds.tell_apart(set);
    const std::vector<CodePointMap::Run> runs = kinds.bytes();
    std::vector<std::string> classes;
    classes.reserve(translated.sets.size());
    for (const CodePointSet& set : translated.sets) classes.push_back(byte_class(set, runs));
    std::string out;
    for (const Part& part : translated.parts)
        out += part.set < 0 ? part.text : classes[static_cast<size_t>(part.set)];
    return {std::move(out), CodePointMap(runs)};
}

}  // namespace lowkey
