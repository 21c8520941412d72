#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace lowkey {

inline constexpr char32_t kMaxCodePoint = 0x10FFFF;

/// Code points `first` to `last`, both included.
struct CodePointRange {
    char32_t first;
    char32_t last;
    bool operator==(const CodePointRange&) const = default;
};

/// A set of code points.
class CodePointSet {
public:
    CodePointSet() = default;  ///< empty
    static CodePointSet of(char32_t first, char32_t last);
    static CodePointSet all() { return of(0, kMaxCodePoint); }
    /// The characters with a property: a general category ("Lu", "Letter"), a script ("Han"), a
    /// block ("InThai"), a class of POSIX or another property of Unicode ("Alphabetic"), by names
    /// in any case, with or without spaces, '_' and '-'; as regular expressions of tokenizers know
    /// them. Nothing for a name that they do not know.
    static std::optional<CodePointSet> with_property(std::string_view name);

    void add(const CodePointSet& other);
    [[nodiscard]] CodePointSet intersection(const CodePointSet& other) const;
    [[nodiscard]] CodePointSet complement() const;
    /// With the other cases of all its characters.
    [[nodiscard]] CodePointSet with_other_cases() const;
    [[nodiscard]] bool empty() const { return ranges_.empty(); }
    /// Sorted, none touching the next.
    [[nodiscard]] const std::vector<CodePointRange>& ranges() const { return ranges_; }
    bool operator==(const CodePointSet&) const = default;

private:
    explicit CodePointSet(std::vector<CodePointRange> ranges) : ranges_(std::move(ranges)) {}

    std::vector<CodePointRange> ranges_;
};

/// A small number for every code point.
class CodePointMap {
public:
    /// A run of equal values; it ends where the next one starts.
    struct Run {
        char32_t first;
        uint8_t value;
    };
    /// Of runs from U+0000 on, sorted.
    explicit CodePointMap(const std::vector<Run>& runs);
    /// 1 for the members of a set, 0 for all others.
    explicit CodePointMap(const CodePointSet& set);

    /// The value of any c up to kMaxCodePoint.
    [[nodiscard]] uint8_t operator[](char32_t c) const {
        return pages_[size_t{page_of_[c >> 8]} << 8 | (c & 0xFF)];
    }

private:
    std::array<uint16_t, (kMaxCodePoint >> 8) + 1> page_of_{};
    std::vector<uint8_t> pages_;  // 256 values each
};

}  // namespace lowkey
