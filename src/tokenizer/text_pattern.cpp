#include "tokenizer/text_pattern.h"

#include "tokenizer/component.h"

namespace lowkey {

TextPattern::TextPattern(const JsonReader& component) {
    const JsonReader pattern = component.at("pattern");
    if (pattern.is_string()) {
        string_ = pattern.string();
    } else if (pattern.has("Regex")) {
        regex_.emplace(pattern.at("Regex").string(), component_place(component, "pattern"));
    } else {
        string_ = pattern.at("String").string();
    }
}

TextPattern::TextPattern(const std::string& regex, const std::string& where) {
    regex_.emplace(regex, where);
}

TextPattern::Finder::Finder(const TextPattern& pattern) : pattern_(pattern) {
    if (pattern.regex_) matcher_.emplace(*pattern.regex_);
}

std::string TextPattern::replace_all(std::string_view text, std::string_view with) const {
    std::string out;
    out.reserve(text.size());
    size_t copied = 0;
    Finder(*this).find_all(text, [&](TextRange match) {
        out.append(text, copied, match.begin - copied).append(with);
        copied = match.end;
    });
    out.append(text, copied);
    return out;
}

}  // namespace lowkey
