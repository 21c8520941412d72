#include "jinja/template.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"
#include "base/unicode.h"
#include "jinja/interpreter.h"
#include "jinja/parser.h"

namespace lowkey::jinja {

struct ParsedTemplate {
    Block block;
};

namespace {

constexpr size_t kMaxMessage = 2000;

// A template's own words, on one line and without control characters.
std::string one_line(std::string_view text) {
    std::string out;
    for (const char c : text.substr(0, kMaxMessage)) {
        const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
        out += control ? ' ' : c;
    }
    return out;
}

[[noreturn]] void refuse(const Failure& failure, const std::string& where) {
    const std::string what = one_line(failure.what());
    switch (failure.reason()) {
        case Failure::Reason::kRaised:
            throw Error(what, where, "change the messages as the chat template asks");
        case Failure::Reason::kUnsupported:
            throw UnsupportedError(what + " is not supported in templates", where,
                                   "use another template with --template");
        case Failure::Reason::kLimit:
            throw FileError(what, where, "use another template with --template");
        case Failure::Reason::kWrong:
            break;
    }
    throw FileError(fmt::format("the template fails: {}", what), where,
                    "check the template and the messages it gets");
}

}  // namespace

Template::Template(std::string_view source, std::string name) : name_(std::move(name)) {
    std::string storage;
    if (valid_utf8(source, storage).data() != source.data()) {
        throw FileError("the template is not UTF-8", name_, "check the file");
    }
    try {
        parsed_ = std::make_shared<const ParsedTemplate>(ParsedTemplate{parse(source)});
    } catch (const SyntaxFailure& failure) {
        const std::string where = name_ + ", line " + std::to_string(failure.line);
        if (failure.unsupported) {
            refuse(Failure(failure.what, Failure::Reason::kUnsupported), where);
        }
        throw FileError(fmt::format("not a Jinja template ({})", one_line(failure.what)), where,
                        "check the template");
    }
}

std::string Template::render(const Dict& variables, const Limits& limits) const {
    Interpreter interpreter(limits);
    try {
        return interpreter.render(parsed_->block, variables);
    } catch (const Failure& failure) {
        refuse(failure, name_ + ", line " + std::to_string(interpreter.line()));
    }
}

}  // namespace lowkey::jinja
