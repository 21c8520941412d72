#pragma once

#include <cctype>
#include <string>
#include <string_view>
#include <vector>

namespace lowkey {

/// What is wrong with a document as XML, or "": tags that do not pair, attributes without quotes or
/// given twice, bare ampersands and angle brackets, control characters.
inline std::string xml_fault(std::string_view text) {
    std::vector<std::string> open;
    const auto fault = [&](size_t at, const std::string& what) {
        return what + " at: " + std::string(text.substr(at, 60));
    };
    const auto is_name = [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == ':';
    };
    for (size_t i = 0; i < text.size();) {
        const char c = text[i];
        if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' && c != '\r')
            return fault(i, "control character");
        if (c == '&') {
            const size_t end = text.find(';', i);
            if (end == std::string_view::npos || end > i + 8) return fault(i, "bare &");
        }
        if (c == '>') return fault(i, "bare >");
        if (c != '<') {
            ++i;
            continue;
        }
        if (text.substr(i, 2) == "<!") {
            i = text.find('>', i) + 1;
            continue;
        }
        const bool closes = text.substr(i, 2) == "</";
        size_t at = i + (closes ? 2 : 1);
        std::string name;
        while (at < text.size() && is_name(text[at])) name += text[at++];
        if (name.empty()) return fault(i, "bare <");
        std::vector<std::string> attributes;
        bool empty = false;
        while (at < text.size() && text[at] != '>') {
            if (text[at] == '/' && text.substr(at, 2) == "/>") {
                empty = true;
                ++at;
                continue;
            }
            if (std::isspace(static_cast<unsigned char>(text[at])) != 0) {
                ++at;
                continue;
            }
            std::string attribute;
            while (at < text.size() && is_name(text[at])) attribute += text[at++];
            if (attribute.empty() || closes || text.substr(at, 2) != "=\"")
                return fault(i, "bad attribute");
            for (const std::string& other : attributes) {
                if (other == attribute) return fault(i, "attribute twice");
            }
            attributes.push_back(attribute);
            const size_t end = text.find('"', at + 2);
            if (end == std::string_view::npos) return fault(i, "open quote");
            const std::string_view value = text.substr(at + 2, end - at - 2);
            if (value.find('<') != std::string_view::npos) return fault(i, "< in an attribute");
            at = end + 1;
        }
        if (at >= text.size()) return fault(i, "open tag");
        if (closes) {
            if (open.empty() || open.back() != name) return fault(i, "closes another element");
            open.pop_back();
        } else if (!empty) {
            open.push_back(name);
        }
        i = at + 1;
        if (!closes && name == "style") {
            // Raw text in HTML.
            i = text.find("</style>", i);
            if (i == std::string_view::npos) return "style without an end";
        }
    }
    return open.empty() ? "" : "not closed: " + open.back();
}

}  // namespace lowkey
