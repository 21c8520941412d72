#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizer/regex.h"

#include <pcre2.h>
#include <time.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/unicode.h"
#include "tokenizer/regex_dialect.h"

namespace lowkey {
namespace {

// Steps of one match: patterns that are fit for use take a few for each byte that they look at.
constexpr size_t kBaseSteps = 10'000'000;
constexpr size_t kStepsPerByte = 16;
constexpr uint32_t kHeapLimitKib = 256 * 1024;  // memory of one match
constexpr size_t kJitStackBytes = size_t{8} << 20;
constexpr size_t kMaxPatternBytes = size_t{1} << 16;
constexpr size_t kWindow = 256;         // starts tried in one call, so that time can be checked
constexpr size_t kStepsPerCheck = 256;  // calls between two looks at the clock
// Published patterns take 0.05 microseconds a byte.
constexpr double kBaseSeconds = 10;
constexpr double kSecondsPerByte = 2e-6;

double thread_seconds() {
    timespec now = {};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

std::string message_of(int code) {
    PCRE2_UCHAR text[256] = {};
    pcre2_get_error_message(code, text, sizeof text);
    return reinterpret_cast<const char*>(text);
}

pcre2_code* compile(const std::string& pattern, int& error, size_t& offset) {
    using Context = std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)>;
    const Context context(pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
    LOWKEY_CHECK(context != nullptr);
    pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
    return pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                         PCRE2_MULTILINE | PCRE2_NEVER_UTF | PCRE2_USE_OFFSET_LIMIT, &error,
                         &offset, context.get());
}

}  // namespace

struct Regex::Code {
    Code(BytePattern pattern, pcre2_code* compiled)
        : byte_of(std::move(pattern.byte_of)), code(compiled) {
        for (char32_t c = 0; c < 0x80; ++c) ascii[c] = byte_of[c];
    }
    ~Code() { pcre2_code_free(code); }
    Code(const Code&) = delete;
    Code& operator=(const Code&) = delete;

    CodePointMap byte_of;
    std::array<uint8_t, 0x80> ascii{};
    pcre2_code* code;
};

namespace {

BytePattern translate(const std::string& pattern, const std::string& where) {
    try {
        if (pattern.size() > kMaxPatternBytes) throw PatternError("it is too long");
        return translate_regex(pattern);
    } catch (const DialectError& e) {
        throw UnsupportedError(
            std::string("regular expression with ") + e.what() + " is not supported", where,
            "use a tokenizer without it");
    } catch (const PatternError& e) {
        throw FileError(std::string("malformed regular expression (") + e.what() + ")", where,
                        "check the file, or get it again");
    }
}

}  // namespace

Regex::Regex(const std::string& pattern, std::string where) : where_(std::move(where)) {
    BytePattern translated = translate(pattern, where_);
    int error = 0;
    size_t offset = 0;
    pcre2_code* code = compile(translated.pattern, error, offset);
    if (code == nullptr) {
        throw FileError("malformed regular expression (" + message_of(error) + ")", where_,
                        "check the file, or get it again");
    }
    // Without the compiler (as on machines that forbid it) matching is interpreted: slow, but
    // right.
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    code_ = std::make_shared<const Code>(std::move(translated), code);
}

struct RegexMatcher::State {
    State()
        : data(pcre2_match_data_create(1, nullptr)),
          context(pcre2_match_context_create(nullptr)),
          stack(pcre2_jit_stack_create(size_t{32} << 10, kJitStackBytes, nullptr)) {
        LOWKEY_CHECK(data != nullptr && context != nullptr);
        pcre2_set_heap_limit(context, kHeapLimitKib);
        if (stack != nullptr) pcre2_jit_stack_assign(context, nullptr, stack);
    }
    ~State() {
        pcre2_jit_stack_free(stack);
        pcre2_match_context_free(context);
        pcre2_match_data_free(data);
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    pcre2_match_data* data;
    pcre2_match_context* context;
    pcre2_jit_stack* stack;
};

RegexMatcher::RegexMatcher(const Regex& regex)
    : regex_(regex), state_(std::make_unique<State>()), started_seconds_(thread_seconds()) {}
RegexMatcher::~RegexMatcher() = default;

void RegexMatcher::read(std::string_view text) {
    const Regex::Code& code = *regex_.code_;
    seen_bytes_ += text.size();
    kinds_.resize(text.size());
    char* to = kinds_.data();
    for (size_t pos = 0; pos < text.size();) {
        const auto byte = static_cast<unsigned char>(text[pos]);
        if (byte < 0x80) {
            *to++ = static_cast<char>(code.ascii[byte]);
            ++pos;
        } else {
            *to++ = static_cast<char>(code.byte_of[next_code_point(text, pos)]);
        }
    }
    kinds_.resize(static_cast<size_t>(to - kinds_.data()));
    ascii_ = kinds_.size() == text.size();
}

void RegexMatcher::check_time() {
    const double passed = thread_seconds() - started_seconds_;
    if (passed > kBaseSeconds + kSecondsPerByte * static_cast<double>(seen_bytes_)) {
        throw FileError("regular expression takes too long on this text", regex_.where_,
                        "use another tokenizer file");
    }
}

std::optional<TextRange> RegexMatcher::find(std::string_view text, size_t start) {
    read(text);
    size_t first = 0;
    Place place;
    while (place.byte < start) place.move_to(++first, text, ascii_);
    const auto match = find_in_kinds(first);
    if (!match) return std::nullopt;
    TextRange range{};
    place.move_to(match->begin, text, ascii_);
    range.begin = place.byte;
    place.move_to(match->end, text, ascii_);
    range.end = place.byte;
    return range;
}

std::optional<TextRange> RegexMatcher::find_in_kinds(size_t start) {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(kinds_.data());
    const size_t size = kinds_.size();
    const pcre2_code* code = regex_.code_->code;
    const size_t steps = kBaseSteps + kStepsPerByte * (size - std::min(start, size));
    pcre2_set_match_limit(state_->context,
                          static_cast<uint32_t>(std::min<size_t>(steps, UINT32_MAX)));
    while (start <= size) {
        if (++num_steps_ % kStepsPerCheck == 0) check_time();
        const size_t last_start = std::min(start + kWindow, size);
        pcre2_set_offset_limit(state_->context, last_start);
        int found = pcre2_match(code, subject, size, start, 0, state_->data, state_->context);
        if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
            found = pcre2_match(code, subject, size, start, PCRE2_NO_JIT, state_->data,
                                state_->context);
        }
        if (found == PCRE2_ERROR_NOMATCH) {
            start = last_start + 1;
            continue;
        }
        const size_t* range = pcre2_get_ovector_pointer(state_->data);
        if (found < 0 || range[0] < start || range[1] < range[0]) {
            throw FileError("regular expression fails on this text (" +
                                (found < 0 ? message_of(found) : "it matches backwards") + ")",
                            regex_.where_, "use another tokenizer file");
        }
        return TextRange{range[0], range[1]};
    }
    return std::nullopt;
}

}  // namespace lowkey
