#include "tokenizer/metaspace.h"

#include "base/unicode.h"

namespace lowkey {

MetaspaceOptions read_metaspace(const JsonReader& component) {
    MetaspaceOptions options{.replacement = component.string_or("replacement", "\xE2\x96\x81"),
                             .prepend = MetaspacePrepend::kAlways,
                             .split = component.boolean_or("split", true)};
    size_t end = 0;
    if (!options.replacement.empty()) next_code_point(options.replacement, end);
    if (end == 0 || end != options.replacement.size())
        component.at("replacement").fail("expected one character");
    if (!component.boolean_or("add_prefix_space", true)) options.prepend = MetaspacePrepend::kNever;
    if (!component.has("prepend_scheme")) return options;
    const JsonReader scheme = component.at("prepend_scheme");
    const std::string name = scheme.string();
    if (name == "always") {
        options.prepend = MetaspacePrepend::kAlways;
    } else if (name == "first") {
        options.prepend = MetaspacePrepend::kFirst;
    } else if (name == "never") {
        options.prepend = MetaspacePrepend::kNever;
    } else {
        scheme.fail("'" + name + "' is no prepend scheme", "expected always, first or never");
    }
    return options;
}

}  // namespace lowkey
